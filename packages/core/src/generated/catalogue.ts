export const catalogue: readonly { readonly object: string; readonly definition: string }[] = []
