#!/usr/bin/env node
/** The command `pyprof-rs`: picks a subcommand, loads only that one, turns its outcome into a status. */
import { createRequire } from 'node:module'
import { statusOf, UsageError } from './exit.js'
import { plain } from './terminal/plain.js'

type Run = (args: string[]) => Promise<number>

const commands: Record<string, () => Promise<{ run: Run }>> = {
  ps: () => import('./commands/ps.js'),
  dump: () => import('./commands/dump.js'),
  top: () => import('./commands/top.js'),
  record: () => import('./commands/record.js'),
  doctor: () => import('./commands/doctor.js'),
}

async function main([first, ...rest]: string[]): Promise<number> {
  if (first === '-V' || first === '--version') {
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
    process.stdout.write(`pyprof-rs ${version}\n`)
    return 0
  }
  if (first === undefined || first === '-h' || first === '--help' || first === 'help') {
    return help(first === undefined, rest[0])
  }
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined
  if (!command) {
    throw new UsageError(first.startsWith('-') ? `unknown option '${first}'` : `unknown command '${first}'`)
  }
  const end = rest.indexOf('--')
  const own = end < 0 ? rest : rest.slice(0, end)
  if (own.includes('--help') || own.includes('-h')) return help(false, first)
  return (await command()).run(rest)
}

async function help(wrong: boolean, name: string | undefined): Promise<number> {
  const { commandHelp, mainHelp } = await import('./help.js')
  if (name !== undefined && !Object.hasOwn(commands, name)) throw new UsageError(`unknown command '${name}'`)
  const stream = wrong ? process.stderr : process.stdout
  stream.write(name === undefined ? mainHelp() : commandHelp(name))
  return wrong ? 2 : 0
}

// The reader of a pipe has seen enough, or the terminal was closed: no error of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  report(error)
  process.exitCode = statusOf(error)
}

function report(error: unknown): void {
  if (error instanceof UsageError) {
    const help = `pyprof-rs help${error.command ? ` ${error.command}` : ''}`
    process.stderr.write(`pyprof-rs: ${plain(error.message)}\nSee \`${help}\`.\n`)
  } else if (statusOf(error) === 1 && error instanceof Error) {
    process.stderr.write(
      `pyprof-rs: ${plain(error.message)}\n${process.env['PYPROF_DEBUG'] ? error.stack : ''}`,
    )
  } else {
    process.stderr.write(`pyprof-rs: ${plain(error instanceof Error ? error.message : String(error))}\n`)
  }
}
