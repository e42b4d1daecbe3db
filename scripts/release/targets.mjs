// The machines that a release is built for. Everything else about them follows from this table.

/** The oldest glibc that a release runs with: that of CentOS 7 and of everything newer. */
export const GLIBC = '2.17'

/** `name` is that of the folder in npm/ and the end of the package's name. */
export const TARGETS = [
  { name: 'linux-x64-gnu', triple: 'x86_64-unknown-linux-gnu', machine: 'x86-64', libc: 'glibc' },
  { name: 'linux-x64-musl', triple: 'x86_64-unknown-linux-musl', machine: 'x86-64', libc: 'musl' },
  { name: 'linux-arm64-gnu', triple: 'aarch64-unknown-linux-gnu', machine: 'arm64', libc: 'glibc' },
  { name: 'linux-arm64-musl', triple: 'aarch64-unknown-linux-musl', machine: 'arm64', libc: 'musl' },
]

/** As cargo-zigbuild wants it: with the glibc to link against. */
export function zigTriple({ triple, libc }) {
  return libc === 'glibc' ? `${triple}.${GLIBC}` : triple
}

export function addonFile(name) {
  return `pyprof-rs.${name}.node`
}

/** Where the build of one target puts its addon, under the top folder. */
export function addonPath(name) {
  return `npm/${name}/${addonFile(name)}`
}
