/** Columns of text; the last one takes what is left of the line. */

export interface Column {
  title: string
  right?: boolean
}

/** `width`: cut lines to it; absent: as long as they are. */
export function table(columns: Column[], rows: string[][], width?: number): string {
  const widths = columns.map(({ title }, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: string[]) => {
    const text = cells
      .map((cell, i) => {
        if (columns[i]!.right) return cell.padStart(widths[i]!)
        return i === cells.length - 1 ? cell : cell.padEnd(widths[i]!)
      })
      .join('  ')
    return width !== undefined && text.length > width ? `${text.slice(0, width - 1)}…` : text
  }
  return [columns.map(({ title }) => title), ...rows].map((cells) => `${line(cells)}\n`).join('')
}
