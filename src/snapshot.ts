import { binding } from './binding.js'
import { checkPid, native } from './errors.js'
import type { RawFrameSnapshot, RawSnapshot, RawThreadSnapshot } from './raw.js'
import type { FrameSnapshot, Snapshot, ThreadSnapshot } from './types.js'

export interface SnapshotOptions {
  /** Read arguments and locals too, as bounded text. Default: false. */
  locals?: boolean
}

/**
 * Looks once at every thread of a process, without stopping it.
 *
 * @throws {PyprofError} when the process cannot be read; see `ERROR_CODES`
 */
export async function snapshot(pid: number, options: SnapshotOptions = {}): Promise<Snapshot> {
  checkPid(pid)
  return convert(await native(binding().snapshot(pid, options.locals ?? false)))
}

function convert(raw: RawSnapshot): Snapshot {
  return { schemaVersion: 1, ...raw, threads: raw.threads.map(convertThread) }
}

function convertThread({ tid, isMain, ...raw }: RawThreadSnapshot): ThreadSnapshot {
  return {
    interpreter: raw.interpreter,
    name: raw.name,
    pythonId: raw.pythonId,
    nativeId: tid || null,
    main: isMain,
    onCpu: raw.onCpu,
    holdsGil: raw.holdsGil ?? null,
    complete: raw.complete,
    frames: raw.frames.map(convertFrame),
  }
}

function convertFrame(raw: RawFrameSnapshot): FrameSnapshot {
  const frame: FrameSnapshot = {
    kind: raw.kind === 1 ? 'missing' : 'python',
    name: raw.name,
    qualifiedName: raw.qualifiedName,
    file: raw.file,
    firstLine: raw.firstLine || null,
    line: raw.line || null,
    endLine: raw.endLine || null,
    column: offset(raw.column),
    endColumn: offset(raw.endColumn),
    async: raw.isAsync,
  }
  if (raw.locals) {
    frame.locals = raw.locals.map(({ name, isArgument, value }) => ({ name, argument: isArgument, value }))
  }
  return frame
}

/** The addon counts columns from 1, so that 0 can mean unknown. */
function offset(column: number): number | null {
  return column === 0 ? null : column - 1
}
