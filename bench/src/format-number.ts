/** Three significant digits, grouped; what could not be measured is `n/a`. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "n/a"
  return value.toLocaleString("en-US", value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 })
}

export function formatRange(min: number, max: number): string {
  return `${formatNumber(min)} … ${formatNumber(max)}`
}

export function formatRatio(ratio: number | undefined): string {
  return ratio === undefined || !Number.isFinite(ratio) ? "n/a" : `${ratio.toFixed(2)}×`
}
