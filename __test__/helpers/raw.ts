/** Profiles made by hand, in the shape the addon gives. */
import type { RawProfile } from '../../src/raw.js'
import type { RecordingStats } from '../../src/types.js'

export interface FrameSpec {
  name: string
  file?: string
  firstLine?: number
  line?: number
  column?: number
  missing?: boolean
  /** 2 native, 3 kernel */
  kind?: number
  module?: string
}

export interface EventSpec {
  thread: number
  /** Root first. */
  stack: FrameSpec[]
  samples: number
  wallNs: number
  cpuNs: number
  blockedNs?: number
  waits?: number
}

export const STATS: RecordingStats = {
  elapsedNs: 2e9,
  rounds: 2000,
  missed: 1,
  failed: 2,
  samples: 6,
  cut: 1,
  idle: 3,
  idleNs: 3_000_000,
  cpuNs: 3e7,
  extraReads: 4,
  processes: 1,
  threads: 2,
  lost: 0,
  lostInterrupts: 0,
  unmerged: 0,
  engine: 'snapshot',
  offcpu: false,
  waits: 0,
}

export const MISSING: FrameSpec = { name: '', missing: true }

/** `events` are the timeline, in order; the entries are their sums. */
export function rawProfile(threads: { tid: number; name: string }[], events: EventSpec[]): RawProfile {
  const strings: string[] = []
  const string = (text: string) => {
    const known = strings.indexOf(text)
    return known < 0 ? strings.push(text) - 1 : known
  }
  const frames: FrameSpec[] = []
  const stacks: [number, number][] = [[0, 0]]
  const stackId = (stack: FrameSpec[]) => {
    let at = 0
    for (const spec of stack) {
      let frame = frames.findIndex((known) => JSON.stringify(known) === JSON.stringify(spec))
      if (frame < 0) frame = frames.push(spec) - 1
      const parent = at
      at = stacks.findIndex(([p, f], id) => id > 0 && p === parent && f === frame)
      if (at < 0) at = stacks.push([parent, frame]) - 1
    }
    return at
  }
  const rows = events.map((event) => ({ ...event, id: stackId(event.stack) }))
  const sums = new Map<string, (typeof rows)[number]>()
  for (const row of rows) {
    const key = `${row.thread} ${row.id}`
    const sum = sums.get(key)
    if (!sum) sums.set(key, { ...row })
    else {
      sum.samples += row.samples
      sum.wallNs += row.wallNs
      sum.cpuNs += row.cpuNs
      sum.blockedNs = (sum.blockedNs ?? 0) + (row.blockedNs ?? 0)
      sum.waits = (sum.waits ?? 0) + (row.waits ?? 0)
    }
  }
  const columns = (list: typeof rows) => ({
    thread: Uint32Array.from(list, (row) => row.thread),
    stack: Uint32Array.from(list, (row) => row.id),
    samples: Float64Array.from(list, (row) => row.samples),
    wallNs: Float64Array.from(list, (row) => row.wallNs),
    cpuNs: Float64Array.from(list, (row) => row.cpuNs),
    blockedNs: Float64Array.from(list, (row) => row.blockedNs ?? 0),
    waits: Float64Array.from(list, (row) => row.waits ?? 0),
  })
  const column = (field: (frame: FrameSpec) => number) => Uint32Array.from(frames, field)
  let time = 0
  return {
    frames: {
      kind: column((frame) => (frame.missing ? 1 : (frame.kind ?? 0))),
      name: column((frame) => string(frame.name)),
      file: column((frame) => string(frame.file ?? '')),
      module: column((frame) => string(frame.module ?? '')),
      firstLine: column((frame) => frame.firstLine ?? 0),
      line: column((frame) => frame.line ?? 0),
      endLine: column((frame) => frame.line ?? 0),
      column: column((frame) => frame.column ?? 0),
      endColumn: column(() => 0),
    },
    strings,
    stacks: {
      parent: Uint32Array.from(stacks, ([parent]) => parent),
      frame: Uint32Array.from(stacks, ([, frame]) => frame),
    },
    processes: [
      {
        id: 0,
        pid: 100,
        ppid: 1,
        pythonVersion: '3.12.1',
        command: ['/usr/bin/python3', 'app.py'],
        ended: false,
      },
      {
        id: 1,
        pid: 200,
        ppid: 100,
        pythonVersion: '3.13.0',
        command: ['python3', 'work;er.py'],
        ended: true,
      },
    ],
    threads: threads.map((thread, id) => ({
      id,
      pid: thread.tid < 200 ? 100 : 200,
      process: thread.tid < 200 ? 0 : 1,
      pythonId: 4096 + thread.tid,
      gilHeldNs: 1_000_000 * id,
      gilWaitedNs: 0,
      ...thread,
    })),
    entries: columns([...sums.values()]),
    timeline: {
      ...columns(rows),
      timeNs: Float64Array.from(rows, (row) => {
        const start = time
        time += row.wallNs
        return start
      }),
    },
    timelineComplete: true,
    stats: { ...STATS },
    end: 'duration',
    startedMs: Date.UTC(2026, 10, 23, 12, 0, 0, 500),
    pythonVersion: '3.12.1',
  }
}

const MAIN: FrameSpec = { name: '<module>', file: '/app/main.py', firstLine: 1, line: 40, column: 1 }
const WORK: FrameSpec = { name: 'Job.work', file: '/app/job.py', firstLine: 10, line: 12, column: 9 }
const WORK_ELSEWHERE: FrameSpec = { ...WORK, line: 14 }
/** Every character that a format could give a meaning to. */
const ODD: FrameSpec = { name: 'ev;il\nна me\\', file: '/tmp/a b;c.py', firstLine: 3, line: 3 }

/** Two threads, two lines of one function, a cut stack, a thread without Python frames, odd names. */
export function example(): RawProfile {
  return rawProfile(
    [
      { tid: 101, name: 'worker 1' },
      { tid: 100, name: 'MainThread' },
    ],
    [
      { thread: 1, stack: [MAIN, WORK], samples: 2, wallNs: 2_000_000, cpuNs: 1_500_000 },
      { thread: 1, stack: [MAIN, ODD], samples: 1, wallNs: 1_000_000, cpuNs: 0 },
      { thread: 1, stack: [MAIN, WORK_ELSEWHERE], samples: 1, wallNs: 1_000_400, cpuNs: 900_000 },
      { thread: 0, stack: [MAIN, WORK, MISSING], samples: 1, wallNs: 1_000_000, cpuNs: 1_000_000 },
      { thread: 1, stack: [MAIN, WORK], samples: 1, wallNs: 500_000, cpuNs: 500_000 },
      { thread: 0, stack: [], samples: 1, wallNs: 3_000_000, cpuNs: 200_000 },
    ],
  )
}
