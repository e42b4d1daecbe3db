// The Pythons that tests run: those of pyenv and Debian, and newer ones in a folder made by debootstrap.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { FREE_THREADED } from './free-threaded.mjs'

export const MINORS = [8, 9, 10, 11, 12, 13, 14, 15]

/** A Debian of its own with the newest Pythons, used by chroot. */
export const SID = process.env.PYPROF_SID ?? '/opt/pyprof-sid'

/**
 * Every Python here, those named in PYPROF_PYTHONS (paths, separated by colons) last:
 * `{ version: '3.14', abi: '', name, command, args, sid }`. `abi` is 't' without the GIL, 'd' in a debug build.
 */
export function findPythons() {
  const found = []
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  for (const minor of MINORS) {
    const version = `3.${minor}`
    const folders = existsSync(versions)
      ? readdirSync(versions).filter((name) => new RegExp(`^3\\.${minor}\\.\\d+$`).test(name))
      : []
    for (const folder of folders)
      add(version, `pyenv ${folder}`, join(versions, folder, 'bin', `python${version}`), [])
    add(version, `/usr/bin/python${version}`, `/usr/bin/python${version}`, [])
    if (process.getuid() === 0 && existsSync(join(SID, 'usr/bin', `python${version}`))) {
      found.push({
        version,
        name: `sid ${version}`,
        command: 'chroot',
        args: [SID, `python${version}`],
        abi: '',
        sid: true,
      })
    }
  }
  for (const { version, command } of FREE_THREADED)
    add(version.slice(0, -1), `free-threaded ${version}`, command, [], 't')
  for (const command of (process.env.PYPROF_PYTHONS ?? '').split(':').filter(Boolean)) {
    const script = 'import sys; print("3.%d" % sys.version_info[1], sys.abiflags)'
    const [version, abi = ''] =
      spawnSync(command, ['-c', script], { encoding: 'utf8' }).stdout?.split(/\s/) ?? []
    if (!version) throw new Error(`PYPROF_PYTHONS: ${command} is no Python`)
    add(version, command, command, [], abi)
  }
  return found

  function add(version, name, command, args, abi = '') {
    if (existsSync(command)) found.push({ version, abi, name, command, args, sid: false })
  }
}

const NEWEST = ['python3.13', 'python3.14', 'python3.15']
/** What the tests of layouts and of debug builds need beside them. */
const EXTRAS = NEWEST.flatMap((name) => [`lib${name}-dev`, `${name}-dbg`])

/** Makes the folder with the newest Pythons where that is possible. Returns why not, or nothing. */
export function provide() {
  if (existsSync(join(SID, 'usr/bin'))) return mountProc() ?? complete()
  if (process.getuid() !== 0) return `${SID} (newest Pythons): only root can make it`
  if (!works('debootstrap', ['--version'])) {
    const apt = works('apt-get', ['update']) && works('apt-get', ['install', '-y', 'debootstrap'])
    if (!apt) return `${SID} (newest Pythons): debootstrap cannot be installed`
  }
  mkdirSync(SID, { recursive: true })
  for (let wanted = NEWEST; wanted.length > 0; wanted = wanted.slice(0, -1)) {
    // Debian drops a version now and then; the others are worth having.
    if (works('debootstrap', ['--variant=minbase', `--include=${wanted.join(',')}`, 'sid', SID]))
      return mountProc() ?? complete()
    rmSync(SID, { recursive: true, force: true })
  }
  return `${SID} (newest Pythons): debootstrap failed, is there a network?`
}

/** Adds headers and debug builds to the folder. Returns which could not be had, or nothing. */
function complete() {
  const missing = EXTRAS.filter((name) => !existsSync(join(SID, 'usr/share/doc', name)))
  if (process.getuid() !== 0 || missing.length === 0) return
  const install = ['apt-get', 'install', '-y', '--no-install-recommends']
  works('chroot', [SID, 'apt-get', 'update'])
  const refused = missing.filter((name) => !works('chroot', [SID, ...install, name]))
  if (refused.length > 0) return `${refused.join(', ')} in ${SID}: apt-get cannot install them`
}

function mountProc() {
  if (process.getuid() !== 0 || works('mountpoint', ['-q', join(SID, 'proc')])) return
  if (!works('mount', ['-t', 'proc', 'proc', join(SID, 'proc')])) return `${SID}/proc cannot be mounted`
}

function works(command, args) {
  const { status } = spawnSync(command, args, {
    stdio: 'ignore',
    timeout: 600_000,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  return status === 0
}
