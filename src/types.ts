/**
 * What a process, a thread and a frame look like. Times carry their unit in their name (`Ns`: nanoseconds).
 */

/** A Python process of this host. */
export interface ProcessInfo {
  pid: number
  /** CPython version, for example `3.12.1`; only `3.12` or `null` when the process may not be read. */
  pythonVersion: string | null
  uid: number
  /** Name of the owner, or the number as text. */
  user: string
  threads: number
  /** CPU time used since the start of the process. */
  cpuNs: number
  /** Time since the start of the process. */
  uptimeNs: number
  /** The file behind `/proc/PID/exe`. */
  executable: string
  command: string[]
  /** Why the process cannot be profiled, with the remedy; `null` when it can. */
  obstacle: { code: string; message: string } | null
}

/**
 * `python`: a Python function, module or class body. `missing`: stands for frames that ran but could not be
 * proven, so the stack was cut there. `native`: machine code of a program or library. `kernel`: code of the kernel.
 */
export type FrameKind = 'python' | 'missing' | 'native' | 'kernel'

/** All threads of a process at one moment. `pyprof-rs dump --json` prints exactly this. */
export interface Snapshot {
  /** Version of this shape. Fields may be added within a version, never changed or taken away. */
  schemaVersion: 1
  pid: number
  pythonVersion: string
  executable: string
  command: string[]
  threads: ThreadSnapshot[]
}

export interface ThreadSnapshot {
  /** Number of the interpreter; 0 is the main one. */
  interpreter: number
  /** Python's name of the thread, else the kernel's. */
  name: string
  /** `threading.get_ident()`; 0 for a thread without Python. */
  pythonId: number
  /** `threading.get_native_id()` as this pid namespace counts; `null` when unknown. */
  nativeId: number | null
  main: boolean
  /** On a CPU or waiting for one (the kernel's state R); otherwise it sleeps in the kernel. */
  onCpu: boolean
  /** `null` in a Python without GIL. */
  holdsGil: boolean | null
  /** False when the stack was cut: its last frame is then of kind `missing`. */
  complete: boolean
  /** Root first, most recent call last; empty for a thread that runs no Python code. */
  frames: FrameSnapshot[]
  /** Only when native or kernel frames were asked for. */
  native?: NativeLook
}

/** How far a thread was seen below Python. */
export interface NativeLook {
  /** Native and Python frames are all there, in their true order. When false the Python frames stand alone. */
  complete: boolean
  /** Why they are not, or what kept the kernel's frames from being shown; empty when nothing is missing. */
  note: string
  /** It runs Python, or has. */
  python: boolean
  /** `null` while it runs. */
  waitsIn: Wait | null
}

/** What a blocked thread waits in. */
export interface Wait {
  /** Number of the system call; `null` when it waits in none: a page fault, or it is stopped. */
  number: number | null
  /** Its name; empty when it waits in none. */
  call: string
  /** As far as they tell something, for example `fd=3 (pipe:[1234])`. */
  arguments: string[]
  /** The kernel function that waits; empty when the kernel does not tell. */
  channel: string
}

/** Lines start at 1. Columns are offsets in UTF-8 bytes, starting at 0. `null`: unknown. */
export interface FrameSnapshot {
  kind: FrameKind
  /** `co_name`, for example `method`; of native code the function, or its file and offset where nothing names it. */
  name: string
  /** `co_qualname`, for example `Class.method`, from CPython 3.11 on; else the same as `name` */
  qualifiedName: string
  /** `co_filename` as the target spells it; of native code its source, where debug information names it, else empty. */
  file: string
  /** The program, library or kernel module that holds native code. */
  module?: string
  /** First line of the function. */
  firstLine: number | null
  /** Current line. */
  line: number | null
  /** Last line of the current expression; known from CPython 3.11 on, as the columns are. */
  endLine: number | null
  column: number | null
  /** Exclusive. */
  endColumn: number | null
  /** `async def` or an asynchronous generator. */
  async: boolean
  /** Only when asked for. */
  locals?: LocalVariable[]
}

export interface LocalVariable {
  name: string
  argument: boolean
  /** A bounded representation. It is read from memory: no code of the target runs for it. */
  value: string
}

/** A process and all its descendants at one moment. `pyprof-rs dump --subprocesses --json` prints exactly this. */
export interface TreeSnapshot {
  /** Version of this shape. Fields may be added within a version, never changed or taken away. */
  schemaVersion: 1
  /** Parents before their children. */
  processes: ProcessSnapshot[]
}

export interface ProcessSnapshot {
  pid: number
  /** `null` for the process that was asked for. */
  ppid: number | null
  command: string[]
  /** `null` when it is not Python or cannot be read. */
  snapshot: Snapshot | null
  /** Why not, with the remedy. */
  obstacle: { code: string; message: string } | null
}

/** The sampler's own health. */
export interface RecordingStats {
  /** Since the first deadline. */
  elapsedNs: number
  /** Looks at the process that were due and taken. */
  rounds: number
  /** Deadlines that passed before they could be met; skipped, never made up for. */
  missed: number
  /** Looks that brought nothing back. */
  failed: number
  /** Stacks of threads that were kept. */
  samples: number
  /** Kept stacks that had to be cut short. */
  cut: number
  /** Stacks left out because their thread was idle, or not in the mode asked for. */
  idle: number
  /** Thread time that was left out with them. */
  idleNs: number
  /** CPU time of the sampling thread. */
  cpuNs: number
  /** Looks that needed more than one main read. */
  extraReads: number
  /** Processes being sampled at the moment. */
  processes: number
  /** Threads with a Python state at the moment. */
  threads: number
  /** Samples of the stream that were dropped because nobody read them in time. */
  lost: number
  /** Interrupts of threads that were lost because the sampler came too late; engine `exact` only. */
  lostInterrupts: number
  /** Stacks whose native frames could not be brought together with Python's. */
  unmerged: number
  /** Where the stacks come from. With several processes the least of their engines. */
  engine: EngineName
  /** Whether blocked time was measured from switch to switch, in all processes: see `SamplingOptions.offcpu`. */
  offcpu: boolean
  /** Times that a thread was blocked; 0 where that was not measured. */
  waits: number
}

/**
 * Where stacks come from. `exact`: running threads by their own interrupt, with all frames of one moment. `perf`:
 * native and kernel frames by interrupts, Python's by looks from outside. `perf-user`: the same without interrupts
 * inside the kernel. `snapshot`: looks from outside alone; native and kernel frames of blocked threads.
 */
export type EngineName = 'exact' | 'perf' | 'perf-user' | 'snapshot'

/** Which time counts: elapsed, on a CPU, or elapsed while holding the GIL. */
export type Mode = 'wall' | 'cpu' | 'gil'

/**
 * `duration`: it was over. `stopped`: by the caller. `exited`: the target ended. `replaced`: the target became
 * a program that is not Python. `denied`: the target changed so that it may not be read any more.
 */
export type EndReason = 'duration' | 'stopped' | 'exited' | 'replaced' | 'denied'

/** How a launched program ended. */
export interface ProgramExit {
  /** Exit status; `null` when a signal ended it. */
  code: number | null
  /** For example `SIGTERM`. */
  signal: string | null
}

/** A process that was seen: the one attached to, and with `subprocesses` its descendants. */
export interface ProfiledProcess {
  /** Its number within the session; unlike a pid it is never used again. */
  id: number
  pid: number
  /** Its parent when it was found; 0 when unknown. */
  ppid: number
  /** CPython version; `null` while it is not (known to be) Python. */
  pythonVersion: string | null
  /** Arguments, the program's name first. */
  command: string[]
  ended: boolean
}

/** A thread that was seen. */
export interface ThreadSeen {
  /** Its number within the session; unlike a kernel thread id it is never used again. */
  id: number
  pid: number
  /** Kernel thread id, 0 when unknown; equal to `pid` for the main thread. */
  tid: number
  pythonId: number
  name: string
}

/** A thread in a profile. */
export interface ProfiledThread extends ThreadSeen {
  /** Time in which it held the GIL, whether its samples were kept or not. */
  gilHeldNs: number
  /** Time in which it waited for the GIL, likewise. */
  gilWaitedNs: number
}

/** One place in one function. Lines start at 1, columns are offsets in UTF-8 bytes from 0. `null`: unknown. */
export interface StackFrame {
  readonly kind: FrameKind
  /** Function name; class-qualified (`co_qualname`) from CPython 3.11 on. */
  readonly name: string
  /** `co_filename` as the target spells it; of native code its source, where debug information names it, else empty. */
  readonly file: string
  /** The program, library or kernel module that holds native code; absent for Python. */
  readonly module?: string
  /** First line of the function. */
  readonly firstLine: number | null
  /** Line it was at. */
  readonly line: number | null
  readonly endLine: number | null
  readonly column: number | null
  /** Exclusive. */
  readonly endColumn: number | null
}
