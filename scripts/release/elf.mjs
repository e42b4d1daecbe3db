// Reads what an ELF file asks of the machine that loads it. 64 bits, little-endian: all that is built here.

const MACHINES = new Map([
  [62, 'x86-64'],
  [183, 'arm64'],
])
const SHT_DYNAMIC = 6
const SHT_GNU_VERNEED = 0x6ffffffe
const DT_NEEDED = 1n

/**
 * `machine`, `libraries` (those loaded with it) and `versions` (symbol versions it needs: `{ library, version }`).
 * Throws for anything that is not such a file.
 */
export function readElf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== 0x7f454c46) throw new Error('no ELF file')
  if (view.getUint8(4) !== 2 || view.getUint8(5) !== 1) throw new Error('not 64 bits, little-endian')
  const u16 = (at) => view.getUint16(at, true)
  const u32 = (at) => view.getUint32(at, true)
  const u64 = (at) => Number(view.getBigUint64(at, true))

  const table = u64(0x28)
  const sections = Array.from({ length: u16(0x3c) }, (_, i) => {
    const at = table + i * u16(0x3a)
    return {
      type: u32(at + 4),
      offset: u64(at + 24),
      size: u64(at + 32),
      link: u32(at + 40),
      count: u32(at + 44),
    }
  })
  const dynamic = sections.find(({ type }) => type === SHT_DYNAMIC)
  if (!dynamic) throw new Error('nothing says what it needs: no dynamic section')

  const libraries = []
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    if (view.getBigInt64(at, true) === DT_NEEDED) libraries.push(text(dynamic, u64(at + 8)))
  }

  const versions = []
  for (const section of sections.filter(({ type }) => type === SHT_GNU_VERNEED)) {
    let file = section.offset
    for (let i = 0; i < section.count; i++) {
      const library = text(section, u32(file + 4))
      let entry = file + u32(file + 8)
      for (let j = 0; j < u16(file + 2); j++) {
        versions.push({ library, version: text(section, u32(entry + 8)) })
        entry += u32(entry + 12)
      }
      file += u32(file + 12)
    }
  }
  return { machine: MACHINES.get(u16(0x12)) ?? `machine ${u16(0x12)}`, libraries, versions }

  function text({ link }, offset) {
    const start = sections[link].offset + offset
    return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)))
  }
}

/** Everything wrong with an addon for `target`: it would not load on a machine that it is meant for. */
export function problemsOf(bytes, { machine, libc }, glibc) {
  const elf = readElf(bytes)
  const problems = []
  if (elf.machine !== machine) problems.push(`is for ${elf.machine}, not ${machine}`)
  const allowed =
    libc === 'musl' ? /^libc\.so$/ : /^(lib(c|m|dl|pthread|rt|util)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/
  for (const library of elf.libraries) if (!allowed.test(library)) problems.push(`needs ${library}`)
  if (elf.libraries.length === 0) problems.push('needs no C library at all')
  for (const { library, version } of elf.versions) {
    const number = /^GLIBC_([\d.]+)$/.exec(version)?.[1]
    if (libc === 'musl' || number === undefined || isNewer(number, glibc))
      problems.push(`needs ${version} of ${library}`)
  }
  if (libc === 'glibc' && elf.versions.length === 0)
    problems.push('needs no version of glibc: linked otherwise')
  return problems
}

function isNewer(version, than) {
  const [major, minor = 0] = version.split('.').map(Number)
  const [otherMajor, otherMinor] = than.split('.').map(Number)
  return major > otherMajor || (major === otherMajor && minor > otherMinor)
}
