import { execFile } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
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

async function ps(folder: string, env: NodeJS.ProcessEnv = {}) {
  const args = [join(folder, 'dist/cli/main.js'), 'ps']
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
