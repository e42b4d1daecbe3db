/** `--help`, made of the option table. */
import { STATUSES } from './exit.js'
import { COMMANDS, type Command, type Option } from './options.js'

const WIDTH = 80

export function mainHelp(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => row(name, summary, 10))
  return [
    'pyprof-rs looks into running Python processes (CPython 3.8 to 3.15) without stopping them.',
    '',
    'Usage: pyprof-rs <command> [options]',
    '',
    'Commands:',
    ...commands,
    row('help', 'Show the help of a command: pyprof-rs help record', 10),
    '',
    'Options:',
    row('-h, --help', 'Show this help', 16),
    row('-V, --version', 'Show the version', 16),
    '',
    'Exit statuses:',
    ...STATUSES.map(({ status, meaning }) => row(String(status), meaning, 6)),
    ...wrap(
      'After `record -- program`, the status of the program, or 128 and the number of the signal that ended it; ' +
        'when that is 0 and recording failed, the status of the failure.',
      2,
    ),
    '',
  ].join('\n')
}

export function commandHelp(name: string): string {
  const { summary, usage, options, notes = [] } = COMMANDS[name] as Command
  return [
    `${summary}.`,
    '',
    ...usage.map((line, i) => `${i === 0 ? 'Usage:' : '      '} ${line}`),
    '',
    'Options:',
    ...Object.entries(options).map(([long, option]) => row(flag(long, option), option.help, 24)),
    ...notes.flatMap((note) => ['', ...wrap(note, 0)]),
    '',
  ].join('\n')
}

function flag(long: string, { short, value }: Option): string {
  return `${short ? `-${short}, ` : '    '}--${long}${value ? ` ${value}` : ''}`
}

function row(left: string, right: string, width: number): string {
  const [first, ...rest] = wrap(right, width + 2)
  return [`  ${left.padEnd(width)}${first!.slice(width + 2)}`, ...rest].join('\n')
}

function wrap(text: string, indent: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(' '.repeat(indent) + line)
      line = word
    } else {
      line = line ? `${line} ${word}` : word
    }
  }
  return [...lines, ' '.repeat(indent) + line]
}
