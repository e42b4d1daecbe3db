// node scripts/release/try.mjs: installs what is in release/ on this machine, as npm would from its registry, and uses
// it on a running Python. Needs Node, npm, tar and a Python; no checkout's tools.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPythons } from '../pythons.mjs'
import { fail, root } from '../steps.mjs'
import { packFetched } from './pack.mjs'
import { Project } from './project.mjs'
import { manifestOf, serve } from './registry.mjs'
import { smoke, startTarget } from './smoke.mjs'

const [python] = findPythons().filter(({ sid }) => !sid)
if (!python) fail('Python is missing: install CPython 3.8 or newer, for example by `apt install python3`.')
const release = join(root, 'release')
const tarballs = readdirSync(release).map((name) => join(release, name))
const manifest = tarballs.map(manifestOf).find(({ name }) => name === 'pyprof-rs')

const scratch = mkdtempSync(join(tmpdir(), 'pyprof-try-'))
const dependencies = Object.entries(manifest.dependencies).map(([name, range]) =>
  packFetched(`${name}@${range}`, scratch),
)
const registry = await serve([...tarballs, ...dependencies])
const target = await startTarget(python)
let problems
try {
  const project = new Project(mkdtempSync(join(scratch, 'project-')))
  await project.install('--registry', registry.url, 'pyprof-rs')
  problems = await smoke(project, target.pid, manifest.version)
} finally {
  target.kill()
  await registry.close()
  rmSync(scratch, { recursive: true, force: true })
}
if (problems.length > 0) fail(problems.join('\n'))
console.log(
  `pyprof-rs ${manifest.version} works on Node ${process.version}, ${process.arch}, with ${python.name}`,
)
