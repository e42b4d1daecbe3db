/** What the program that was started here wrote. */
import { span } from '../../terminal/paint.js'
import { plain } from '../../terminal/plain.js'
import type { View } from './context.js'
import { lastLines } from './stack.js'

export const outputView: View = ({ output, state }, { rows }) => {
  if (output.length === 0) return [[], [span('The program has written nothing yet.', 'dim')]]
  return lastLines(
    output.map((text) => [span(plain(text.replaceAll('\t', '    ')))]),
    state.scroll,
    rows,
  )
}
