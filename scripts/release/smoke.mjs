// What an installed package must be able to do with a running Python (__test__/fixtures/program.py, at work).
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One line for each subcommand. `problem` says what is wrong with the outcome, or nothing. */
export const COMMANDS = [
  { args: () => ['--version'], problem: ({ stdout, version }) => stdout !== `pyprof-rs ${version}\n` },
  { args: () => ['ps'], problem: ({ stdout, pid }) => !new RegExp(`^ *${pid}  .* yes `, 'm').test(stdout) },
  {
    args: (pid) => ['dump', pid],
    problem: ({ stdout }) => !/^Thread "MainThread" .*\n.* in <module>/m.test(stdout),
  },
  { args: (pid) => ['top', pid, '-n', '1'], problem: ({ stdout }) => !/ leaf /.test(stdout) },
  { args: (pid) => ['doctor', pid], problem: ({ stdout }) => !/in this build/.test(stdout) },
  {
    args: (pid) => ['record', pid, '-d', '300ms', '-o', 'out.json'],
    problem: ({ folder }) => recorded(join(folder, 'out.json')),
  },
]

/** Runs every command by `npx` in a {@link Project}; returns a sentence for each that failed. */
export async function smoke(project, pid, version) {
  const problems = []
  for (const { args, problem } of COMMANDS) {
    const command = args(String(pid))
    const result = await project.run('npx', ['pyprof-rs', ...command])
    const wrong = result.status !== 0 || problem({ ...result, pid, version, folder: project.folder })
    if (wrong) {
      problems.push(
        `pyprof-rs ${command.join(' ')}: status ${result.status}, ${wrong}\n${result.stdout}${result.stderr}`,
      )
    }
  }
  return problems
}

function recorded(file) {
  if (!existsSync(file)) return 'no file'
  const { profiles, shared } = JSON.parse(readFileSync(file, 'utf8'))
  if (!(profiles[0].endValue > 0)) return 'no time'
  return !shared.frames.some(({ name }) => name.includes('leaf')) && 'the function at work was not seen'
}

/** A running program.py that works; resolves once it has said that it does. */
export async function startTarget({ command, args }) {
  const program = readFileSync(new URL('../../__test__/fixtures/program.py', import.meta.url), 'utf8')
  const child = spawn(command, [...args, '-c', program, 'spin'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}
