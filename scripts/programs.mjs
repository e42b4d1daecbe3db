// Real programs as targets: a virtual environment with what people run, from the Python registry.
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findPythons } from './pythons.mjs'
import { root } from './steps.mjs'

const PACKAGES = ['gunicorn', 'flask', 'uvicorn', 'fastapi', 'celery', 'numpy']
const FOLDER = join(root, '.cache/programs')

/** The environment's Python, or nothing before `providePrograms()` or where it could not help. */
export function programsPython() {
  const python = join(FOLDER, 'bin/python')
  return existsSync(join(FOLDER, 'complete')) ? python : undefined
}

/** Makes the environment where that is possible. Returns why not, or nothing. */
export function providePrograms() {
  const name = `real programs (${PACKAGES.join(', ')})`
  if (programsPython()) return
  // The newest one that most packages have wheels for.
  const python = findPythons().find(({ version, sid }) => !sid && version === '3.12')
  if (!python) return `${name}: no CPython 3.12 outside of a folder of its own`
  rmSync(FOLDER, { recursive: true, force: true })
  const steps = [
    [python.command, ['-m', 'venv', FOLDER]],
    [join(FOLDER, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', ...PACKAGES]],
  ]
  for (const [command, args] of steps) {
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000 })
    if (status !== 0) return `${name}: ${stderr?.trim().split('\n').at(-1) || `${command} failed`}`
  }
  writeFileSync(join(FOLDER, 'complete'), '')
}
