// Compiles CPython without the GIL from Debian's source, each version into a folder of its own (root only):
//   node scripts/free-threaded.mjs          all versions whose source Debian's archive has
//   node scripts/free-threaded.mjs 3.13     this one
// It takes some minutes for each, at idle priority. Tests and benches use what they find there.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const FREE_THREADED = [13, 14, 15].map((minor) => ({
  version: `3.${minor}t`,
  source: `python3.${minor}`,
  prefix: `/opt/pyprof-python-3.${minor}t`,
  command: `/opt/pyprof-python-3.${minor}t/bin/python3.${minor}t`,
}))

// The newest first; the archive lists versions whose files it has not (yet, or any more).
const SUITES = ['sid', 'testing', 'trixie']

/** Makes those that are missing. Returns a sentence for each that could not be made. */
export function provideFreeThreaded(wanted = FREE_THREADED) {
  const missing = wanted.filter(({ command }) => !existsSync(command))
  if (missing.length === 0) return []
  if (process.getuid() !== 0) return missing.map(({ version }) => `CPython ${version}: only root can make it`)
  const work = mkdtempSync(join(tmpdir(), 'pyprof-free-threaded-'))
  try {
    const apt = ownApt(work)
    if (!runs('apt-get', [...apt, 'update'])) {
      return missing.map(({ version }) => `CPython ${version}: Debian's archive cannot be reached`)
    }
    return missing.flatMap((python) => {
      const problem = make(python, apt, work)
      return problem ? [`CPython ${python.version}: ${problem}`] : []
    })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Options for an apt with sources and lists of its own: the machine's are left as they are. */
function ownApt(work) {
  for (const folder of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, folder), { recursive: true })
  writeFileSync(join(work, 'state/status'), '')
  const sources = SUITES.map((suite) => `deb-src http://deb.debian.org/debian ${suite} main\n`)
  writeFileSync(join(work, 'sources.list'), sources.join(''))
  return [
    `Dir::State=${work}/state`,
    `Dir::State::status=${work}/state/status`,
    `Dir::Cache=${work}/cache`,
    `Dir::Etc::sourcelist=${work}/sources.list`,
    'Dir::Etc::sourceparts=-',
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option])
}

function make({ version, source, prefix, command }, apt, work) {
  const folder = join(work, source)
  mkdirSync(folder)
  const listed = spawnSync('apt-cache', [...apt, 'showsrc', '--only-source', source], { encoding: 'utf8' })
  const versions = [...new Set(listed.stdout?.match(/(?<=^Version: ).+$/gm))].sort(byVersion).reverse()
  const got = versions.find((one) =>
    runs('apt-get', [...apt, 'source', '--download-only', `${source}=${one}`], folder),
  )
  if (!got) return `Debian's archive has no source of it (listed: ${versions.join(', ') || 'none'})`
  const archive = readdirSync(folder).find(
    (name) => name.includes(got.split('-')[0]) && /\.orig\.tar\.\w+$/.test(name),
  )
  if (!archive || !runs('tar', ['-xf', archive, '--strip-components=1'], folder))
    return `${got} cannot be unpacked`
  console.log(`CPython ${version}: compiling ${got}, which takes some minutes`)
  const idle = runs('chrt', ['-i', '0', 'true']) ? ['chrt', '-i', '0'] : ['nice', '-n', '19']
  const steps = [
    [
      './configure',
      '-q',
      '--disable-gil',
      '--without-ensurepip',
      '--disable-test-modules',
      `--prefix=${prefix}`,
    ],
    ['make', '-s', `-j${availableParallelism()}`],
    ['make', '-s', 'install'],
  ]
  for (const step of steps) {
    if (!runs(idle[0], [...idle.slice(1), ...step], folder, join(folder, 'pyprof.log'))) {
      copyFileSync(join(folder, 'pyprof.log'), `${prefix}.log`)
      rmSync(prefix, { recursive: true, force: true })
      return `${step[0]} failed, see ${prefix}.log`
    }
  }
  return existsSync(command) ? undefined : `${command} did not come of it`
}

function byVersion(one, other) {
  return one.localeCompare(other, 'en', { numeric: true })
}

function runs(command, args, cwd, log) {
  const script = log ? ['-c', '"$@" >>"$0" 2>&1 </dev/null', log, command, ...args] : args
  const { status } = spawnSync(log ? 'sh' : command, script, { cwd, stdio: 'ignore', timeout: 3_600_000 })
  return status === 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const asked = process.argv.slice(2).map((name) => name.replace(/t?$/, 't'))
  const known = FREE_THREADED.map(({ version }) => version)
  for (const name of asked.filter((name) => !known.includes(name)))
    console.log(`skipped: CPython ${name}: not one of ${known.join(', ')}`)
  const wanted = FREE_THREADED.filter(({ version }) => asked.length === 0 || asked.includes(version))
  for (const problem of provideFreeThreaded(wanted)) console.log(`skipped: ${problem}`)
  for (const { version, command } of FREE_THREADED)
    if (existsSync(command)) console.log(`CPython ${version}: ${command}`)
}
