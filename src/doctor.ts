import { binding } from './binding.js'
import { checkPid, type ErrorCode, native } from './errors.js'
import type { RawReport, RawTarget } from './raw.js'
import type { EngineName } from './types.js'

/**
 * How a right is given: `sudo`, `sysctl` and `setcap` are commands, `user` is the name of a user to run as, `launch`
 * a way to start the program, `docker` options of `docker run` or `podman run`, `kubernetes` a field of the container,
 * `systemd` lines of a `[Service]` section, `other` a sentence.
 */
export type Means =
  | 'sudo'
  | 'user'
  | 'launch'
  | 'sysctl'
  | 'setcap'
  | 'docker'
  | 'kubernetes'
  | 'systemd'
  | 'other'

/** One way to a right that is missing. */
export interface Remedy {
  means: Means
  text: string
}

/** One question to the kernel and its answer. */
export interface Check {
  /** Stable name, for example `perf-event-paranoid`. */
  id: string
  /** For people. */
  value: string
  /** Whether it lets us look deeper; `null` where it only explains other answers. */
  good: boolean | null
  /** What would change it, the way at hand first. */
  remedies: Remedy[]
}

/** Whether an engine works here, and if not, what is missing. */
export interface EngineCheck {
  engine: EngineName
  available: boolean
  /** What it shows. */
  gives: string
  /** Everything that is missing; empty when it works. */
  missing: string[]
  /** Each gives all that is missing; the way at hand first. */
  remedies: Remedy[]
}

/** What was found out about a process. */
export interface TargetCheck {
  pid: number
  /** Name of the owner; `null` when the process is gone. */
  user: string | null
  /** The file behind `/proc/PID/exe`; `null` when it may not be seen. */
  executable: string | null
  command: string[]
  /** `null` when no interpreter was found, or none could be read. */
  python: {
    /** For example `3.12.1`. */
    version: string
    /** The file that holds the interpreter, as the process names it. */
    file: string
    foundBy: 'symbol' | 'section' | 'scan'
    /** Built without a GIL. */
    freeThreaded: boolean
    /** Threads with a Python state. */
    threads: number
  } | null
  /** The best engine for it; `null` when it cannot be profiled. */
  engine: EngineName | null
  /** Why it cannot be profiled; `null` when it can. */
  obstacle: { code: ErrorCode; message: string } | null
  /** What would lift the obstacle, the way at hand first. */
  remedies: Remedy[]
  /** What can be read of threads that wait in the kernel. */
  blockedThreads: { native: boolean; kernel: boolean }
  /** What is unusual about it: another namespace, a deleted file, an embedded interpreter. */
  notes: { id: string; text: string }[]
}

/** What can be profiled here, and how deep. `pyprof-rs doctor --json` prints exactly this. */
export interface Diagnosis {
  /** Version of this shape. Fields may be added within a version, never changed or taken away. */
  schemaVersion: 1
  /** The best engine for processes that may be read; `null` when none works. */
  engine: EngineName | null
  /** Every engine, best first. */
  engines: EngineCheck[]
  checks: Check[]
  /** The process asked about; `null` without one. */
  target: TargetCheck | null
}

/**
 * Finds out what can be profiled here, how deep, and what would let us look deeper. With a pid also whether that
 * process can be. Changes nothing. A process that cannot be profiled is no error: `target.obstacle` says why.
 */
export async function doctor(pid?: number): Promise<Diagnosis> {
  if (pid !== undefined) checkPid(pid)
  return convert(await native(binding().doctor(pid)))
}

/** The core's names of engines, means and codes are those of the types above. */
function convert(raw: RawReport): Diagnosis {
  return {
    schemaVersion: 1,
    engine: (raw.engine ?? null) as Diagnosis['engine'],
    engines: raw.engines.map((one) => ({ ...one, available: one.missing.length === 0 })) as EngineCheck[],
    checks: raw.checks.map((check) => ({ ...check, good: check.good ?? null })) as Check[],
    target: raw.target ? convertTarget(raw.target) : null,
  }
}

function convertTarget({ hasBlockedStacks, hasKernelStacks, ...raw }: RawTarget): TargetCheck {
  return {
    pid: raw.pid,
    user: raw.user ?? null,
    executable: raw.executable ?? null,
    command: raw.command,
    python: (raw.python ?? null) as TargetCheck['python'],
    engine: (raw.engine ?? null) as TargetCheck['engine'],
    obstacle: (raw.obstacle ?? null) as TargetCheck['obstacle'],
    remedies: raw.remedies as Remedy[],
    blockedThreads: { native: hasBlockedStacks, kernel: hasKernelStacks },
    notes: raw.notes,
  }
}
