/**
 * The part of Standard Schema v1 (https://standardschema.dev) that Sluice uses: any validator that speaks it fits, and
 * none is a dependency.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** `payload.items[2].price`, from the path of an issue. */
export function issuePath(issue: SchemaIssue, root: string): string {
  return (issue.path ?? []).reduce<string>((path, segment) => {
    const key = typeof segment === "object" ? segment.key : segment
    return typeof key === "number" ? `${path}[${key}]` : `${path}.${String(key)}`
  }, root)
}

/** A schema that throws is a verdict too: what was read is leased already, and must reach the reader. */
export async function verdictOf<Out>(schema: StandardSchema<unknown, Out>, stored: unknown): Promise<SchemaResult<Out>> {
  try {
    return await schema["~standard"].validate(stored)
  } catch (error) {
    return { issues: [{ message: `the schema threw ${String(error)}` }] }
  }
}
