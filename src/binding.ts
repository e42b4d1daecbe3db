/**
 * Finds and loads the native addon. Written by hand: the loader that napi-rs generates falls back to WASI
 * packages under names that are not ours.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { PyprofError } from './errors.js'
import type { Binding } from './raw.js'

const require = createRequire(import.meta.url)

/** The packages that hold a built addon, by platform, architecture and C library. */
const PLATFORMS = ['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl']

let loaded: Binding | undefined

/**
 * The addon, loaded once.
 *
 * @throws {PyprofError} `ERR_PYPROF_NATIVE_MISSING` when there is none for this machine
 */
export function binding(): Binding {
  loaded ??= load()
  return loaded
}

function load(): Binding {
  const explicit = process.env['NAPI_RS_NATIVE_LIBRARY_PATH']
  if (explicit) {
    try {
      return require(explicit) as Binding
    } catch (cause) {
      throw missing(`NAPI_RS_NATIVE_LIBRARY_PATH names ${explicit}, which cannot be loaded`, cause)
    }
  }
  const platform = platformName()
  if (!PLATFORMS.includes(platform)) throw missing(unsupported(platform))
  // A build of this checkout comes first, so that nobody tests something else than what they built.
  const local = fileURLToPath(new URL(`../pyprof-rs.${platform}.node`, import.meta.url))
  if (existsSync(local)) {
    try {
      return require(local) as Binding
    } catch (cause) {
      throw missing(`${local}, which \`npm run build\` makes anew, cannot be loaded`, cause)
    }
  }
  return fromPackage(platform)
}

function fromPackage(platform: string): Binding {
  const name = `pyprof-rs-${platform}`
  const { version } = require('../package.json') as { version: string }
  let found: string
  try {
    found = (require(`${name}/package.json`) as { version: string }).version
  } catch (cause) {
    throw missing(
      `the package ${name} is not installed. Install pyprof-rs without --omit=optional, ` +
        `or add it by \`npm install ${name}@${version}\`; in a checkout run \`npm run build\``,
      cause,
    )
  }
  if (found !== version) {
    throw missing(`pyprof-rs ${version} needs ${name} ${version}, but ${found} is installed`)
  }
  try {
    return require(name) as Binding
  } catch (cause) {
    throw missing(`${name} cannot be loaded`, cause)
  }
}

function platformName(): string {
  if (process.platform !== 'linux') return `${process.platform}-${process.arch}`
  return `linux-${process.arch}-${isMusl() ? 'musl' : 'gnu'}`
}

function unsupported(platform: string): string {
  const builds = `there are builds for ${PLATFORMS.join(', ')}`
  if (process.platform === 'linux') return `pyprof-rs has no build for ${platform}; ${builds}`
  return (
    `pyprof-rs looks into processes of Linux and does not run on ${platform}; ${builds}. ` +
    'Start it where the Python runs: inside the container, the virtual machine, WSL or on the server'
  )
}

/**
 * The C library is the one this very Node runs with, whatever else the machine has. Its loader is mapped under the
 * path of the file: /lib/ld-musl-x86_64.so.1 on Alpine, /lib/x86_64-linux-musl/libc.so on Debian.
 */
function isMusl(): boolean {
  return /\/ld-musl-|-linux-musl\w*\/libc\.so/.test(readFileSync('/proc/self/maps', 'latin1'))
}

/** What the loader of the system says (a C library that is too old, a broken file) belongs into the message. */
function missing(message: string, cause?: unknown): PyprofError {
  const { code, message: text } = (cause ?? {}) as NodeJS.ErrnoException
  const reason = code === 'ERR_DLOPEN_FAILED' ? `: ${text?.split('\n')[0]}` : ''
  return new PyprofError('ERR_PYPROF_NATIVE_MISSING', message + reason, cause)
}
