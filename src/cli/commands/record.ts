import { basename } from 'node:path'
import { PyprofError } from '../../errors.js'
import { type Format, formats } from '../../formats/index.js'
import { type Launched, launch } from '../../launch.js'
import type { Profile } from '../../profile.js'
import type { RawSessionOptions } from '../../raw.js'
import { checkOptions, type SamplingOptions } from '../../session/options.js'
import type { Session } from '../../session/session.js'
import { open } from '../../session/target.js'
import { statusOf, statusOfProgram, UsageError } from '../exit.js'
import { fileName, formatOfPath } from '../format.js'
import { engineOf, jitterOf, modeOf, type Parsed, parse, parseDuration, pidOf, rateOf } from '../options.js'
import { type Output, openOutput } from '../output.js'
import { handleSignals } from '../signals.js'
import { plain } from '../terminal/plain.js'
import { Progress } from '../terminal/progress.js'
import { gilTable, summary } from '../terminal/summary.js'

interface Plan {
  target: { pid: number } | { program: [string, ...string[]] }
  sampling: SamplingOptions
  format: Format
  /** `-` is standard output; `null` when only a summary is wanted. */
  path: string | null
  jsonSummary: boolean
  gilStats: boolean
  threads: boolean
  lines: boolean
  quiet: boolean
}

export async function run(args: string[]): Promise<number> {
  const plan = planOf(parse('record', args))
  const options = checkOptions(plan.sampling, { launched: 'program' in plan.target, stream: false })
  const output = plan.path === null ? null : await openOutput(plan.path)
  if ('pid' in plan.target) {
    await recordInto(output, plan, plan.target.pid, options, null)
    return 0
  }
  let launched: Launched
  try {
    const [command, ...programArgs] = plan.target.program
    launched = await launch(command, programArgs, {
      // Standard output is the summary's alone.
      stdio: plan.jsonSummary ? ['inherit', 2, 'inherit'] : 'inherit',
    })
  } catch (error) {
    await output?.discard()
    throw error
  }
  return recordProgram(output, plan, launched, options)
}

/** The program's own failure comes first: who runs a program this way asks for its status. */
async function recordProgram(
  output: Output | null,
  plan: Plan,
  launched: Launched,
  options: RawSessionOptions,
): Promise<number> {
  let failure = 0
  try {
    await recordInto(output, plan, launched.pid, options, launched)
  } catch (error) {
    failure = statusOf(error)
    process.stderr.write(`pyprof-rs: ${plain((error as Error).message)}\n`)
    // Nobody would expect a program to run on unseen that was started to be seen.
    if (!launched.ended && failure !== statusOf(new PyprofError('ERR_PYPROF_OUTPUT', ''))) {
      launched.child.kill('SIGTERM')
      await launched.exit
      return failure
    }
  }
  return statusOfProgram(await launched.exit) || failure
}

async function recordInto(
  output: Output | null,
  plan: Plan,
  pid: number,
  options: RawSessionOptions,
  launched: Launched | null,
): Promise<void> {
  let stopped = false
  let session: Session | undefined
  const progress = new Progress()
  const putBack = handleSignals(launched, () => {
    stopped = true
    void session?.close()
  })
  try {
    session = await open(pid, options, launched)
    if (stopped) void session.close()
    if (!plan.quiet) progress.start(() => session!.stats, options.rate)
    await session.closed
    progress.end()
    const profile = await session.profile()
    if (profile.stats.samples === 0 && profile.endReason === 'exited') {
      throw new PyprofError('ERR_PYPROF_PROCESS_EXITED', 'the target ended before anything was seen')
    }
    await output?.write(profile.to(plan.format, plan))
    report(profile, plan)
  } catch (error) {
    progress.end()
    await output?.discard()
    throw error
  } finally {
    // A program goes on getting our signals: taking the handlers down and up again could lose one.
    if (!launched) putBack()
  }
}

function report(profile: Profile, { quiet, format, path, jsonSummary, gilStats }: Plan): void {
  if (jsonSummary) process.stdout.write(`${JSON.stringify(profile.summary(), null, 2)}\n`)
  if (gilStats) process.stderr.write(gilTable(profile))
  if (!quiet) {
    process.stderr.write(summary(profile, format, path === null || path === '-' ? undefined : path))
  }
}

function planOf(parsed: Parsed): Plan {
  const { values, program } = parsed
  const target = targetOf(parsed)
  const text = (name: string) => values[name] as string | undefined
  const format = formatOf(text('format'), text('output'))
  const jsonSummary = values['json-summary'] === true
  if (jsonSummary && text('output') === '-') {
    throw new UsageError('standard output can hold the summary or the result; give -o a file', 'record')
  }
  const name = program
    ? basename(program.find((word) => word.endsWith('.py')) ?? program[0]!)
    : String(pidOf('record', parsed))
  return {
    target,
    sampling: {
      ...(values['rate'] === undefined ? {} : { rate: rateOf('record', text('rate')!) }),
      ...(values['jitter'] === undefined ? {} : { jitter: jitterOf('record', text('jitter')!) }),
      ...(values['duration'] === undefined ? {} : { duration: parseDuration(text('duration')!) }),
      mode: modeOf('record', text('mode') ?? 'wall'),
      idle: values['idle'] === true,
      subprocesses: values['subprocesses'] === true,
      native: values['native'] === true,
      kernel: values['kernel'] === true,
      offcpu: values['offcpu'] === true,
      ...(values['engine'] === undefined ? {} : { engine: engineOf('record', text('engine')!) }),
      threadNames: (values['thread'] ?? []) as string[],
      timeline: format === 'speedscope',
    },
    format,
    path: text('output') ?? (jsonSummary ? null : fileName(name, format, new Date())),
    jsonSummary,
    gilStats: values['gil-stats'] === true,
    threads: values['threads'] === true,
    lines: values['lines'] === true,
    quiet: values['quiet'] === true,
  }
}

function targetOf(parsed: Parsed): Plan['target'] {
  const pid = pidOf('record', parsed)
  const [command, ...args] = parsed.program ?? []
  if (pid !== undefined && command !== undefined)
    throw new UsageError('give a pid or a program, not both', 'record')
  if (pid !== undefined) return { pid }
  if (command === undefined) throw new UsageError('record needs a pid, or a program after --', 'record')
  return { program: [command, ...args] }
}

function formatOf(asked: string | undefined, path: string | undefined): Format {
  if (asked !== undefined) {
    if (!Object.hasOwn(formats, asked)) {
      throw new UsageError(`no format '${asked}', only ${Object.keys(formats).join(', ')}`, 'record')
    }
    return asked as Format
  }
  if (path === undefined || path === '-') return 'speedscope'
  const format = formatOfPath(path)
  if (format) return format
  throw new UsageError(`the name ${path} tells no format; say it with -f`, 'record')
}
