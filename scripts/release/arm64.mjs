// What can be tested of arm64 on another machine. The emulator (qemu-user) runs Node, the addon and the core's tests,
// but knows no process_vm_readv: nothing that reads the memory of a process works there. Everything around it does, and
// the core's readers are tested against memory made by hand.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../steps.mjs'
import { TARGETS, zigTriple } from './targets.mjs'
import { provideToolchain } from './toolchain.mjs'

/** Tests of the core that compare what they do with what the kernel says of their own process: it knows an emulator. */
const NEEDS_A_PROCESS = [
  'elf::tests::what_the_linker_made_is_read_right',
  'process::rights::filter::tests::our_own_memory_is_readable_here',
  'process::stat::tests::our_own_files_are_read',
  'process::thread_clock::tests::a_thread_that_waits_and_ends',
]

/** Uses an installed package by the Node of its {@link Project}; returns what was wrong. */
export async function useEmulated(project, pid, version) {
  const pyprof = (...args) => project.run('node', ['node_modules/pyprof-rs/dist/cli/main.js', ...args])
  const problems = []
  const expect = (what, right, { status, stdout, stderr }) => {
    if (!right) problems.push(`${what}: status ${status}\n${stdout}${stderr}`)
  }
  const versionSeen = await pyprof('--version')
  expect('--version', versionSeen.stdout === `pyprof-rs ${version}\n`, versionSeen)
  // The addon loads, runs threads, settles promises and finds the target and its version by its files.
  const ps = await pyprof('ps', '--json')
  const found = ps.status === 0 && JSON.parse(ps.stdout).processes.find((process) => process.pid === pid)
  expect('ps', found && /^3\.\d+/.test(found.pythonVersion) && found.threads === 1, ps)
  // Reading it is what the emulator cannot do; that is a clean refusal and no crash.
  const dump = await pyprof('dump', String(pid))
  expect('dump', dump.status === 5 && dump.stderr.includes('not allowed to read process'), dump)
  const load =
    "import('pyprof-rs').then(({ snapshot }) => snapshot(2 ** 30)).catch(({ code }) => console.log(code))"
  const missing = await project.run('node', ['-e', load])
  expect('snapshot()', missing.stdout === 'ERR_PYPROF_NO_SUCH_PROCESS\n', missing)
  return problems
}

/** The package's tests of the formats, compiled to JavaScript, in one process: an emulated one cannot start another. */
export function formatTests(launcher, node) {
  const folder = mkdtempSync(join(tmpdir(), 'pyprof-formats-'))
  try {
    const tsc = ['--outDir', folder, '--rootDir', '.', '--noEmit', 'false']
    const compiled = spawnSync('npx', ['tsc', ...tsc], { cwd: root, encoding: 'utf8' })
    if (compiled.status !== 0) return [compiled.stdout]
    cpSync(join(root, '__test__/golden'), join(folder, '__test__/golden'), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const ava = { files: ['__test__/formats.spec.js'], workerThreads: true, timeout: '5m' }
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', ava }))
    // Without Go, whose tool is tested where it runs.
    const env = { ...process.env, NO_COLOR: '1', PATH: '' }
    const command = [...launcher, node, 'node_modules/ava/entrypoints/cli.mjs', '--tap']
    const { status, stdout, stderr } = spawnSync(command[0], command.slice(1), {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
    const tests = stdout.match(/^ok /gm)?.length ?? 0
    return status === 0 && tests > 10 ? [] : [`${tests} passed, status ${status}\n${stdout}${stderr}`]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The core's unit tests, fake memory and hostile bytes among them, but those of {@link NEEDS_A_PROCESS}. */
export function coreTests(launcher) {
  const target = TARGETS.find(({ name }) => name === 'linux-arm64-gnu')
  const build = ['test', '--no-run', '--release', '-p', 'pyprof-core', '--lib', '--target', zigTriple(target)]
  const { status, stdout, stderr } = spawnSync('cargo-zigbuild', [...build, '--message-format', 'json'], {
    cwd: root,
    env: provideToolchain(),
    encoding: 'utf8',
    maxBuffer: 1e9,
  })
  if (status !== 0) return [stderr]
  const { executable } = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .find(({ executable }) => executable)
  const skip = NEEDS_A_PROCESS.flatMap((name) => ['--skip', name])
  const command = [...launcher, executable, ...skip]
  const ran = spawnSync(command[0], command.slice(1), {
    cwd: join(root, 'crates/pyprof-core'),
    timeout: 600_000,
    encoding: 'utf8',
  })
  const [, passed] = /(\d+) passed; 0 failed/.exec(ran.stdout) ?? []
  console.log(
    `    ${passed ?? 'no'} tests passed; not run, because they look at their own process: ${NEEDS_A_PROCESS.join(', ')}`,
  )
  return ran.status === 0 && Number(passed) > 50 ? [] : [ran.stdout + ran.stderr]
}
