import { invalid } from './errors.js'
import { type FormatOptions, type Formats, formats } from './formats/index.js'
import { type HotFunction, hottest } from './hottest.js'
import type { RawProfile } from './raw.js'
import { seen } from './session/tables.js'
import { type ProfileSummary, rank, type SummaryLimits } from './summary.js'
import type {
  EndReason,
  EngineName,
  Mode,
  ProfiledProcess,
  ProfiledThread,
  ProgramExit,
  RecordingStats,
} from './types.js'

/** What the one who recorded knows besides what was recorded. */
export interface Context {
  pid: number
  rate: number
  mode: Mode
  /** Whether children were followed. */
  subprocesses: boolean
  exit: ProgramExit | null
}

/** What was collected: sums by thread and stack, and the order of the samples when it was kept. */
export class Profile {
  readonly #raw: RawProfile
  /** The process that was recorded. */
  readonly pid: number
  /** CPython version of the target, for example `3.12.1`. */
  readonly pythonVersion: string
  /** Samples a second that were asked for. */
  readonly rate: number
  readonly mode: Mode
  readonly started: Date
  readonly stats: RecordingStats
  /** Where the stacks come from. */
  readonly engine: EngineName
  /** What is missing for a better engine, and what gives it; `null` when it is the best, or was asked for. */
  readonly engineAdvice: string | null
  /** Whether children were followed. */
  readonly subprocesses: boolean
  /** Why it ended; `null` when the session went on. */
  readonly endReason: EndReason | null
  /** How a launched program ended; `null` when it still ran or was not launched here. */
  readonly exit: ProgramExit | null
  /** The process itself first, and with `subprocesses` its descendants. */
  readonly processes: readonly ProfiledProcess[]
  readonly threads: readonly ProfiledThread[]

  /** @internal */
  constructor(raw: RawProfile, context: Context) {
    this.#raw = raw
    this.pid = context.pid
    this.rate = context.rate
    this.mode = context.mode
    this.exit = context.exit
    this.pythonVersion = raw.pythonVersion
    this.started = new Date(raw.startedMs)
    this.stats = raw.stats as RecordingStats
    this.engine = this.stats.engine
    this.engineAdvice = raw.engineAdvice ?? null
    this.subprocesses = context.subprocesses
    this.endReason = raw.end ?? null
    this.processes = raw.processes.map(seen)
    this.threads = raw.threads
  }

  /**
   * The profile as a file's content: text for `collapsed` and `speedscope`, gzip-compressed bytes for `pprof`.
   *
   * @throws {PyprofError} `ERR_PYPROF_INVALID_ARGUMENT` when there is no such format
   */
  to<F extends keyof Formats>(format: F, options: FormatOptions = {}): Formats[F] {
    if (!Object.hasOwn(formats, format)) {
      throw invalid(`no format ${String(format)}, only ${Object.keys(formats).join(', ')}`)
    }
    return formats[format](this.#raw, this, options)
  }

  /** The functions with the most time of their own, by the time of the mode, hottest first. */
  hottest(limit = 10): HotFunction[] {
    return hottest(this.#raw, this.mode, limit)
  }

  /** The hottest functions, lines, stacks and threads, and how well they are known: small enough to read in one go. */
  summary(limits: SummaryLimits = {}): ProfileSummary {
    const { pid, pythonVersion, mode, rate, endReason, exit, stats } = this
    const seconds = stats.elapsedNs / 1e9
    return {
      schemaVersion: 1,
      pid,
      pythonVersion,
      command: this.processes.find((process) => process.pid === pid)?.command ?? [],
      mode,
      rate,
      rateReached: seconds && stats.rounds / seconds,
      endReason,
      exit,
      stats,
      ...rank(this.#raw, mode, limits),
    }
  }
}
