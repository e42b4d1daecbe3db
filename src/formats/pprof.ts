/**
 * pprof's profile.proto, gzip-compressed. Every sample has three values: count, elapsed ns, CPU ns (where blocked time was
 * measured two more: waits, blocked ns), and labels that name its thread and process. Functions carry their first line, locations the line they were at.
 */
import { gzipSync } from 'node:zlib'
import {
  Label,
  Line,
  Location,
  Mapping,
  Function as PprofFunction,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format'
import type { RawProfile } from '../raw.js'
import { frameModule, frameName, isMissing, NO_PYTHON, processName } from './frames.js'
import type { Described } from './input.js'

export function pprof(raw: RawProfile, about: Described): Uint8Array {
  const strings = new StringTable()
  const type = (name: string, unit: string) =>
    new ValueType({ type: strings.dedup(name), unit: strings.dedup(unit) })
  const code = new CodeTable(raw, strings)
  const threadKey = strings.dedup('thread')
  const tidKey = strings.dedup('thread_id')
  const processKey = strings.dedup('process')
  const pidKey = strings.dedup('process_id')
  const { entries } = raw
  const { offcpu } = raw.stats
  const sample = Array.from(entries.stack, (stack, i) => {
    const thread = raw.threads[entries.thread[i]!]!
    return new Sample({
      locationId: code.stack(stack),
      value: [
        entries.samples[i]!,
        entries.wallNs[i]!,
        entries.cpuNs[i]!,
        ...(offcpu ? [entries.waits[i]!, entries.blockedNs[i]!] : []),
      ],
      label: [
        new Label({ key: threadKey, str: strings.dedup(thread.name) }),
        new Label({ key: tidKey, num: thread.tid }),
        new Label({ key: processKey, str: strings.dedup(processName(raw.processes[thread.process]!)) }),
        new Label({ key: pidKey, num: thread.pid }),
      ],
    })
  })
  const profile = new Profile({
    sampleType: [
      type('samples', 'count'),
      type('wall', 'nanoseconds'),
      type('cpu', 'nanoseconds'),
      ...(offcpu ? [type('waits', 'count'), type('blocked', 'nanoseconds')] : []),
    ],
    sample,
    mapping: code.mappings,
    location: code.locations,
    function: code.functions,
    stringTable: strings,
    timeNanos: BigInt(about.started.getTime()) * 1_000_000n,
    durationNanos: Math.round(raw.stats.elapsedNs),
    periodType: type(about.mode === 'cpu' ? 'cpu' : 'wall', 'nanoseconds'),
    period: Math.round(1e9 / about.rate),
    comment: [
      strings.dedup(
        `pyprof-rs, CPython ${about.pythonVersion}, pid ${about.pid}, mode ${about.mode}, engine ${raw.stats.engine}` +
          (offcpu ? ', off-CPU time measured' : ''),
      ),
    ],
    defaultSampleType: strings.dedup(about.mode === 'cpu' ? 'cpu' : 'wall'),
  })
  return gzipSync(profile.encode())
}

/** Locations and functions; ids start at 1, because 0 means none. */
class CodeTable {
  readonly locations: Location[] = []
  readonly functions: PprofFunction[] = []
  /** Binaries of native frames, kernel modules. */
  readonly mappings: Mapping[] = []
  readonly #raw: RawProfile
  readonly #strings: StringTable
  readonly #functionIds = new Map<string, number>()
  readonly #mappingIds = new Map<string, number>()
  readonly #ofFrame: number[]
  #noPython = 0

  constructor(raw: RawProfile, strings: StringTable) {
    this.#raw = raw
    this.#strings = strings
    this.#ofFrame = Array.from(raw.frames.kind, (_, frame) => this.#frame(frame))
  }

  /** Location ids, leaf first. */
  stack(id: number): number[] {
    const { parent, frame } = this.#raw.stacks
    const ids: number[] = []
    for (let at = id; at !== 0; at = parent[at]!) ids.push(this.#ofFrame[frame[at]!]!)
    if (ids.length === 0) {
      this.#noPython ||= this.#location(NO_PYTHON, '', 0, 0, 0)
      ids.push(this.#noPython)
    }
    return ids
  }

  #frame(frame: number): number {
    const { frames, strings } = this.#raw
    const name = frameName(this.#raw, frame)
    if (isMissing(this.#raw, frame)) return this.#location(name, '', 0, 0, 0)
    const file = strings[frames.file[frame]!]!
    const [firstLine, line, column] = [frames.firstLine, frames.line, frames.column].map((of) => of[frame]!)
    return this.#location(name, file, firstLine!, line!, column!, frameModule(this.#raw, frame))
  }

  #location(
    name: string,
    file: string,
    startLine: number,
    line: number,
    column: number,
    module = '',
  ): number {
    const id = this.locations.length + 1
    const functionId = this.#function(name, file, startLine)
    const mappingId = module === '' ? 0 : this.#mapping(module)
    this.locations.push(new Location({ id, mappingId, line: [new Line({ functionId, line, column })] }))
    return id
  }

  #mapping(module: string): number {
    let id = this.#mappingIds.get(module)
    if (id === undefined) {
      id = this.mappings.length + 1
      this.mappings.push(
        // Everything is named already: pprof need not look for the file.
        new Mapping({
          id,
          filename: this.#strings.dedup(module),
          hasFunctions: true,
          hasFilenames: true,
          hasLineNumbers: true,
        }),
      )
      this.#mappingIds.set(module, id)
    }
    return id
  }

  #function(name: string, file: string, startLine: number): number {
    const key = `${name}\0${file}\0${startLine}`
    let id = this.#functionIds.get(key)
    if (id === undefined) {
      id = this.functions.length + 1
      // No systemName: pprof would take the name for a mangled one and cut `<module>` out of it.
      this.functions.push(
        new PprofFunction({
          id,
          name: this.#strings.dedup(name),
          filename: this.#strings.dedup(file),
          startLine,
        }),
      )
      this.#functionIds.set(key, id)
    }
    return id
  }
}
