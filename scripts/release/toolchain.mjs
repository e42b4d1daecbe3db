// What compiling for other machines needs beside Rust: the standard library of each target by rustup, and zig, which
// brings a C compiler, a linker and the C libraries of all targets, from the Python registry. Nothing is installed
// outside of .cache/ and rustup's own folder.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, need, root, step } from '../steps.mjs'
import { TARGETS } from './targets.mjs'

/** Exact versions: a release is built by the tools that its tests saw. */
const TOOLS = ['cargo-zigbuild==0.24.1', 'ziglang==0.17.1']

/** Installs what is missing; returns the environment to build in. */
export function provideToolchain() {
  need(
    'rustup',
    'rustup is missing: get it from https://rustup.rs; it brings the standard library of each target.',
  )
  need(
    'python3',
    'Python is missing: get it by `apt install python3 python3-venv`; zig comes from its registry.',
  )
  const listed = spawnSync('rustup', ['target', 'list', '--installed'], { cwd: root, encoding: 'utf8' })
  const missing = TARGETS.map(({ triple }) => triple).filter(
    (triple) => !listed.stdout.split('\n').includes(triple),
  )
  if (missing.length > 0) step('Adding Rust targets', 'rustup', ['target', 'add', ...missing])
  const bin = pythonTools('cross', TOOLS)
  return { CLANG: bpfCompiler(bin), ...process.env, PATH: `${bin}:${process.env.PATH}` }
}

/** zig is a clang that knows BPF too, by another name of the target: no build lacks the program for the kernel. */
function bpfCompiler(bin) {
  const path = join(bin, 'bpf-clang')
  // The target (clang's `-target bpf`) comes first; what zig adds by itself is for programs with a runtime.
  const without = ['-fno-sanitize=all', '-fno-stack-protector', '-fno-asynchronous-unwind-tables']
  const command = [join(bin, 'python-zig'), 'cc', '-target', 'bpfel-freestanding', ...without]
  writeFileSync(path, `#!/bin/sh\nshift 2\nexec ${command.join(' ')} "$@"\n`, { mode: 0o755 })
  return path
}

/** A Python environment in .cache/ with these packages; returns its folder of programs. */
export function pythonTools(name, packages) {
  const folder = join(root, '.cache', name)
  const stamp = join(folder, 'installed')
  const wanted = packages.join('\n')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const venv = spawnSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' })
    if (venv.status !== 0)
      fail('python3 cannot make an environment: `apt install python3-venv` brings what it needs.')
    step(`Installing ${packages.join(' ')}`, join(folder, 'bin/pip'), ['install', '--quiet', ...packages])
    writeFileSync(stamp, wanted)
  }
  return join(folder, 'bin')
}
