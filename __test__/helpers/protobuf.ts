/** Reads profile.proto without the library that writes it. Field numbers are those of google/pprof's profile.proto. */

type Field = { number: number; value: bigint | Uint8Array }

function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined || shift > 63n) throw new Error('broken varint')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const number = key >> 3
    if ((key & 7) === 0) yield { number, value: varint() }
    else if ((key & 7) === 2) {
      const length = Number(varint())
      if (at + length > bytes.length) throw new Error('a field reaches over the end')
      yield { number, value: bytes.subarray(at, at + length) }
      at += length
    } else throw new Error(`wire type ${key & 7}`)
  }
}

class Message {
  readonly #fields: Field[]

  constructor(bytes: Uint8Array) {
    this.#fields = [...fields(bytes)]
  }

  big(number: number): bigint {
    return (this.#fields.findLast((field) => field.number === number)?.value as bigint | undefined) ?? 0n
  }

  int(number: number): number {
    return Number(this.big(number))
  }

  bytes(number: number): Uint8Array[] {
    return this.#fields.filter((field) => field.number === number).map(({ value }) => value as Uint8Array)
  }

  messages(number: number): Message[] {
    return this.bytes(number).map((bytes) => new Message(bytes))
  }

  /** Repeated integers, packed or not. */
  ints(number: number): number[] {
    return this.#fields
      .filter((field) => field.number === number)
      .flatMap(({ value }) => {
        if (typeof value === 'bigint') return [Number(value)]
        const padded = Uint8Array.from(
          [...value].flatMap((byte, i, all) => (i === 0 || all[i - 1]! < 0x80 ? [8, byte] : [byte])),
        )
        return [...fields(padded)].map((field) => Number(field.value))
      })
  }
}

export function decodeProfile(bytes: Uint8Array) {
  const profile = new Message(bytes)
  const strings = profile.bytes(6).map((text) => new TextDecoder().decode(text))
  const functions = profile.messages(5).map((fn) => ({
    id: fn.int(1),
    name: strings[fn.int(2)]!,
    filename: strings[fn.int(4)]!,
    startLine: fn.int(5),
  }))
  const mappings = profile
    .messages(3)
    .map((mapping) => ({ id: mapping.int(1), file: strings[mapping.int(5)]! }))
  const locations = profile.messages(4).map((location) => ({
    id: location.int(1),
    mapping: mappings.find(({ id }) => id === location.int(2))?.file ?? null,
    lines: location.messages(4).map((line) => ({ functionId: line.int(1), line: line.int(2) })),
  }))
  const nameOf = (locationId: number) => {
    const location = locations.find(({ id }) => id === locationId)
    return functions.find(({ id }) => id === location?.lines[0]?.functionId)?.name
  }
  return {
    sampleTypes: profile.messages(1).map((type) => `${strings[type.int(1)]}/${strings[type.int(2)]}`),
    samples: profile.messages(2).map((sample) => ({
      locationId: sample.ints(1),
      value: sample.ints(2),
      labels: Object.fromEntries(
        sample
          .messages(3)
          .map((label) => [strings[label.int(1)], label.int(2) ? strings[label.int(2)] : label.int(3)]),
      ),
    })),
    functions,
    mappings: mappings.map(({ file }) => file),
    locations,
    nameOf,
    timeNanos: profile.big(9),
    durationNanos: profile.int(10),
    period: profile.int(12),
    defaultSampleType: strings[profile.int(14)],
  }
}
