// The Pythons that tests run: those of pyenv and Debian, and newer ones in a folder made by debootstrap.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const MINORS = [8, 9, 10, 11, 12, 13, 14, 15]

/** A Debian of its own with the newest Pythons, used by chroot. */
export const SID = process.env.PYPROF_SID ?? '/opt/pyprof-sid'

/** Every Python here: `{ version: '3.14', name, command, args, sid }`. */
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
        sid: true,
      })
    }
  }
  return found

  function add(version, name, command, args) {
    if (existsSync(command)) found.push({ version, name, command, args, sid: false })
  }
}

/** Makes the folder with the newest Pythons where that is possible. Returns why not, or nothing. */
export function provide() {
  if (existsSync(join(SID, 'usr/bin'))) return mountProc()
  if (process.getuid() !== 0) return `${SID} (newest Pythons): only root can make it`
  if (!works('debootstrap', ['--version'])) {
    const apt = works('apt-get', ['update']) && works('apt-get', ['install', '-y', 'debootstrap'])
    if (!apt) return `${SID} (newest Pythons): debootstrap cannot be installed`
  }
  const include = ['python3.13', 'python3.14', 'python3.15']
  mkdirSync(SID, { recursive: true })
  for (let wanted = include; wanted.length > 0; wanted = wanted.slice(0, -1)) {
    // Debian drops a version now and then; the others are worth having.
    if (works('debootstrap', ['--variant=minbase', `--include=${wanted.join(',')}`, 'sid', SID]))
      return mountProc()
    rmSync(SID, { recursive: true, force: true })
  }
  return `${SID} (newest Pythons): debootstrap failed, is there a network?`
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
