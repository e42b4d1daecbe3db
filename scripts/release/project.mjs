// An empty folder of a user who has node, npm and sh, and nothing else: no compiler, no Python, no network.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export class Project {
  #folder
  #env

  /**
   * `node` is the Node to use; `launcher` what has to run it (an emulator), before its own arguments. A folder can be
   * taken over with another Node.
   */
  constructor(folder, { node = process.execPath, launcher = [] } = {}) {
    this.#folder = folder
    const bin = join(folder, '.bin')
    rmSync(bin, { recursive: true, force: true })
    mkdirSync(bin, { recursive: true })
    if (launcher.length === 0) symlinkSync(node, join(bin, 'node'))
    else
      writeFileSync(join(bin, 'node'), `#!/bin/sh\nexec ${[...launcher, node].join(' ')} "$@"\n`, {
        mode: 0o755,
      })
    symlinkSync('/bin/sh', join(bin, 'sh'))
    for (const name of ['npm', 'npx']) symlinkSync(programOf(name), join(bin, name))
    this.#env = {
      PATH: bin,
      HOME: folder,
      npm_config_cache: join(folder, '.npm'),
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      // A port where nobody listens: what is not asked for by name cannot be got.
      npm_config_registry: 'http://127.0.0.1:9/',
      npm_config_fetch_retries: '0',
    }
    const manifest = join(folder, 'package.json')
    if (!existsSync(manifest))
      writeFileSync(manifest, '{ "name": "empty", "private": true, "type": "module" }\n')
  }

  get folder() {
    return this.#folder
  }

  /** Runs one of the programs there are: `node`, `npm`, `npx`, `sh`. Resolves with status and output. */
  run(program, args, env = {}) {
    return new Promise((resolve, reject) => {
      const child = spawn(join(this.#folder, '.bin', program), args, {
        cwd: this.#folder,
        env: { ...this.#env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', (chunk) => (stdout += chunk))
      child.stderr.on('data', (chunk) => (stderr += chunk))
      child.on('error', reject)
      child.on('close', (status) => resolve({ status, stdout, stderr }))
    })
  }

  /** `npm install` of packages or tarballs; throws when it fails. */
  async install(...args) {
    const result = await this.run('npm', ['install', ...args])
    if (result.status !== 0) throw new Error(`npm install ${args.join(' ')}: ${result.stderr}`)
  }
}

function programOf(name) {
  const { stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
  return realpathSync(stdout.trim())
}
