// Tarballs of the published packages, and what may be in them.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stagePlatform, stageRoot } from './stage.mjs'
import { addonFile } from './targets.mjs'

/** What one download (the root package and that of one platform) may weigh, in bytes. */
export const DOWNLOAD_LIMIT = 6_000_000

/** Every file of the root package matches one of these. */
const ROOT_FILES = [
  /^package\.json$/,
  /^(README|CHANGELOG)\.md$/,
  /^LICENSE$/,
  /^docs\/[\w.-]+\.(md|schema\.json)$/,
  /^dist\/([\w-]+\/)*[\w-]+\.(js|d\.ts)$/,
]

/** Packs the root package into `out`; returns the path of the tarball. */
export function packRoot(out) {
  return pack(out, stageRoot)
}

/** Packs the package of one platform with the addon at `addon` (from the top folder, or absolute). */
export function packPlatform(name, addon, out) {
  return pack(out, (folder) => stagePlatform(name, addon, folder))
}

/** Packs a folder that is a package already. */
export function packFolder(folder, out) {
  return npmPack([], folder, out)
}

/** The tarball of a published package, from the registry that this machine uses. */
export function packFetched(specifier, out) {
  return npmPack([specifier], out, out)
}

function npmPack(what, cwd, out) {
  mkdirSync(out, { recursive: true })
  // Scripts would run the development tools of a dependency.
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', out, ...what]
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm pack failed in ${cwd}: ${stderr}`)
  return join(out, stdout.trim().split('\n').at(-1))
}

function pack(out, stage) {
  const folder = mkdtempSync(join(tmpdir(), 'pyprof-stage-'))
  try {
    stage(folder)
    return packFolder(folder, out)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The files in a tarball, without the `package/` that npm puts before them. */
export function filesOf(tarball) {
  const { status, stdout, stderr } = spawnSync('tar', ['-tzf', tarball], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${tarball} cannot be listed: ${stderr}`)
  return stdout
    .trim()
    .split('\n')
    .map((path) => path.replace(/^package\//, ''))
    .sort()
}

/** Files of the root package that nobody meant to publish. */
export function unexpected(files) {
  return files.filter((file) => !ROOT_FILES.some((pattern) => pattern.test(file)))
}

/** The files of a platform's package, exactly. */
export function platformFiles(name) {
  return ['LICENSE', 'README.md', 'package.json', addonFile(name)].sort()
}

export function sizeOf(tarball) {
  return statSync(tarball).size
}
