import { execFile } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { readElf } from '../scripts/release/elf.mjs'
import { temporaryFolder } from './helpers/cli.js'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The package as npm would install it, without the package of its platform. */
function installed(t: ExecutionContext): string {
  const folder = temporaryFolder(t)
  for (const part of ['dist', 'package.json', 'node_modules/pprof-format']) {
    cpSync(join(root, part), join(folder, part), { recursive: true })
  }
  return folder
}

async function ps(folder: string, env: NodeJS.ProcessEnv = {}, nodeArguments: string[] = []) {
  const args = [...nodeArguments, join(folder, 'dist/cli/main.js'), 'ps']
  try {
    const { stderr } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } })
    return { code: 0, stderr }
  } catch (error) {
    return error as { code: number; stderr: string }
  }
}

test('without the package of its platform it says which one to install', async (t) => {
  const { code, stderr } = await ps(installed(t))
  t.is(code, 11)
  t.regex(
    stderr,
    /^pyprof-rs: the package pyprof-rs-linux-\w+-(gnu|musl) is not installed\. .*npm install .*@\d/,
  )
})

test('a broken addon is named', async (t) => {
  const folder = installed(t)
  const broken = join(folder, 'broken.node')
  writeFileSync(broken, 'not an addon')
  const { code, stderr } = await ps(folder, { NAPI_RS_NATIVE_LIBRARY_PATH: broken })
  t.is(code, 11)
  t.true(stderr.includes(`NAPI_RS_NATIVE_LIBRARY_PATH names ${broken}, which cannot be loaded`))
})

const addon = readdirSync(root).find((name) => name.startsWith('pyprof-rs.') && name.endsWith('.node'))!
const withGlibc = addon.endsWith('-gnu.node') ? test : test.skip

withGlibc('an addon that needs a newer C library says so', async (t) => {
  const folder = installed(t)
  const bytes = readFileSync(join(root, addon))
  const { version } = readElf(bytes).versions.find(({ version }: { version: string }) =>
    version.startsWith('GLIBC_2.1'),
  )
  const newer = version.replace('GLIBC_2', 'GLIBC_9')
  bytes.write(newer, bytes.indexOf(`${version}\0`))
  const file = join(folder, addon)
  writeFileSync(file, bytes)
  const { code, stderr } = await ps(folder)
  t.is(code, 11)
  t.true(
    stderr.startsWith(`pyprof-rs: ${file}, which \`npm run build\` makes anew, cannot be loaded: `),
    stderr,
  )
  t.true(stderr.includes(`version \`${newer}' not found`), stderr)
})

for (const [platform, arch, message] of [
  [
    'darwin',
    'arm64',
    /^pyprof-rs: pyprof-rs looks into processes of Linux and does not run on darwin-arm64; .*Start it/,
  ],
  ['win32', 'x64', /^pyprof-rs: pyprof-rs looks into processes of Linux and does not run on win32-x64; /],
  [
    'linux',
    'riscv64',
    /^pyprof-rs: pyprof-rs has no build for linux-riscv64-\w+; there are builds for linux-x64-gnu, /,
  ],
] as const) {
  test(`on ${platform}-${arch} it says that there is no build`, async (t) => {
    const facts = JSON.stringify({ platform: { value: platform }, arch: { value: arch } })
    const pretend = `data:text/javascript,Object.defineProperties(process, ${facts})`
    const { code, stderr } = await ps(installed(t), {}, ['--import', pretend])
    t.is(code, 11)
    t.regex(stderr, message)
  })
}
