/** The packages as users get them: packed, installed into an empty folder without network, and used. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { problemsOf, readElf } from '../scripts/release/elf.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import * as pack from '../scripts/release/pack.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { Project } from '../scripts/release/project.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { manifestOf, serve } from '../scripts/release/registry.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { smoke } from '../scripts/release/smoke.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import { addonFile, GLIBC, TARGETS } from '../scripts/release/targets.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/release
import * as versions from '../scripts/release/versions.mjs'
import { temporaryFolder } from './helpers/cli.js'
import { PYTHONS, start } from './helpers/pythons.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const NAMES: string[] = TARGETS.map(({ name }: { name: string }) => name)
/** That of this machine, as `npm run build` made it. */
const OWN = NAMES.find((name) => readdirSync(root).includes(addonFile(name)))!

const out = mkdtempSync(join(tmpdir(), 'pyprof-packed-'))
test.after.always(() => rmSync(out, { recursive: true, force: true }))

const rootTarball: string = pack.packRoot(out)
const ownTarball: string = pack.packPlatform(OWN, addonFile(OWN), out)
const dependencyTarballs: string[] = Object.keys(dependencies).map((name) =>
  pack.packFolder(join(root, 'node_modules', name), out),
)

function project(t: ExecutionContext) {
  return new Project(temporaryFolder(t))
}

test('the root package holds what is meant to be published, and nothing else', (t) => {
  const files: string[] = pack.filesOf(rootTarball)
  t.deepEqual(pack.unexpected(files), [])
  const sources = (readdirSync(join(root, 'src'), { recursive: true }) as string[])
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [`dist/${file.slice(0, -3)}.js`, `dist/${file.slice(0, -3)}.d.ts`])
  t.deepEqual(files.filter((file) => file.startsWith('dist/')).sort(), sources.sort())
  for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md', 'docs/dump.schema.json'])
    t.true(files.includes(file))
  t.deepEqual(pack.unexpected(['dist/a.test.js', 'src/index.ts', '.npmrc', 'dist/x.map']).length, 4)
})

test('the package of a platform holds its addon and nothing else', (t) => {
  t.deepEqual(pack.filesOf(ownTarball), pack.platformFiles(OWN))
})

test('a download is small', (t) => {
  const size = pack.sizeOf(rootTarball) + pack.sizeOf(ownTarball)
  t.log(`${(size / 1e6).toFixed(2)} MB`)
  t.true(size < pack.DOWNLOAD_LIMIT, `${size} bytes`)
})

test('the published root names its platforms by exact version, runs no script and needs no tool', (t) => {
  const manifest = manifestOf(rootTarball)
  t.deepEqual(
    manifest.optionalDependencies,
    Object.fromEntries(NAMES.map((name) => [`pyprof-rs-${name}`, version])),
  )
  for (const field of ['scripts', 'devDependencies', 'private', 'os']) t.false(field in manifest, field)
  t.is(manifest.engines.node, '>=20.19')
})

for (const name of NAMES) {
  test(`npm/${name} says for which machines it is`, (t) => {
    const manifest = JSON.parse(readFileSync(join(root, 'npm', name, 'package.json'), 'utf8'))
    const [, cpu, libc] = name.split('-')
    t.like(manifest, {
      name: `pyprof-rs-${name}`,
      version,
      os: ['linux'],
      cpu: [cpu],
      libc: [libc === 'gnu' ? 'glibc' : 'musl'],
      main: addonFile(name),
      files: [addonFile(name)],
      engines: { node: '>=20.19' },
      license: 'MIT',
    })
    t.is(manifest.repository.directory, `npm/${name}`)
    t.false('scripts' in manifest)
  })
}

test('one version everywhere, and a release of it needs its tag and its date', (t) => {
  t.deepEqual(versions.differing(root), [])
  const folder = temporaryFolder(t)
  for (const file of [
    'package.json',
    'package-lock.json',
    'Cargo.toml',
    'Cargo.lock',
    'fuzz/Cargo.lock',
    'npm',
  ])
    cpSync(join(root, file), join(folder, file), { recursive: true })
  const manifest = readFileSync(join(root, 'package.json'), 'utf8')
  writeFileSync(
    join(folder, 'package.json'),
    manifest.replace(`"version": "${version}"`, '"version": "7.8.9"'),
  )
  writeFileSync(join(folder, 'CHANGELOG.md'), '# Changelog\n\n## 7.8.9 (unreleased)\n')
  t.is(versions.differing(folder).length, 4 + NAMES.length)
  versions.sync(folder)
  t.deepEqual(versions.differing(folder), [])
  t.regex(versions.problemsOfTag(folder, 'v7.8.9').join(), /^CHANGELOG\.md begins with/)
  writeFileSync(join(folder, 'CHANGELOG.md'), '# Changelog\n\n## 7.8.9 (2026-12-01)\n')
  t.deepEqual(versions.problemsOfTag(folder, 'v7.8.9'), [])
  t.deepEqual(versions.problemsOfTag(folder, 'v7.9.0'), ['the tag is v7.9.0, the version 7.8.9'])
})

const withPython = PYTHONS.length > 0 ? test.serial : test.serial.skip

withPython('tarballs installed without network do their work on a running Python', async (t) => {
  const target = await start(t, PYTHONS[0]!, 'spin')
  const user = project(t)
  await user.install('--offline', rootTarball, ownTarball, ...dependencyTarballs)
  t.deepEqual(await smoke(user, target.process.pid, version), [])
  const loads =
    "import('pyprof-rs').then(m => console.log(typeof m.record, typeof require('pyprof-rs').record))"
  t.is((await user.run('node', ['--input-type=commonjs', '-e', loads])).stdout, 'function function\n')
})

test.serial('npm picks the package of the machine, by os, cpu and libc', async (t) => {
  // Of the other platforms only what npm decides by: their addons are built for a release.
  const others = NAMES.filter((name) => name !== OWN).map((name) =>
    pack.packPlatform(name, addonFile(OWN), out),
  )
  const registry = await serve([rootTarball, ownTarball, ...others, ...dependencyTarballs])
  t.teardown(registry.close)
  const addons = () => registry.requests.filter((path: string) => path.startsWith('/-/pyprof-rs-linux'))
  for (const [flags, wanted] of [
    [[], [OWN]],
    [['--os=linux', '--cpu=arm64', '--libc=musl'], ['linux-arm64-musl']],
    [['--os=darwin', '--cpu=arm64'], []],
  ] as const) {
    const user = project(t)
    registry.requests.length = 0
    await user.install('--registry', registry.url, ...flags, 'pyprof-rs')
    const installed = readdirSync(join(user.folder, 'node_modules')).filter((name) =>
      name.startsWith('pyprof-rs-'),
    )
    t.deepEqual(
      installed,
      wanted.map((name) => `pyprof-rs-${name}`),
    )
    t.deepEqual(
      addons(),
      wanted.map((name) => `/-/pyprof-rs-${name}-${version}.tgz`),
    )
    if (wanted[0] === OWN) t.is((await user.run('npx', ['pyprof-rs', 'ps'])).status, 0)
  }
})

test.serial('the root alone says which package is missing', async (t) => {
  const user = project(t)
  await user.install('--offline', '--omit=optional', rootTarball, ...dependencyTarballs)
  const { status, stderr } = await user.run('npx', ['pyprof-rs', 'ps'])
  t.is(status, 11)
  t.is(
    stderr,
    `pyprof-rs: the package pyprof-rs-${OWN} is not installed. Install pyprof-rs without --omit=optional, ` +
      `or add it by \`npm install pyprof-rs-${OWN}@${version}\`; in a checkout run \`npm run build\`\n`,
  )
  t.is((await user.run('npx', ['pyprof-rs', '--version'])).stdout, `pyprof-rs ${version}\n`)
})

for (const [what, tarball] of [
  ['the root', rootTarball],
  ['the package of a platform', ownTarball],
] as const) {
  test(`publint finds nothing to say about ${what}`, (t) => {
    const { status, stdout, stderr } = spawnSync('npx', ['publint', '--strict', tarball], {
      cwd: root,
      encoding: 'utf8',
    })
    t.is(status, 0, stdout + stderr)
    t.regex(stdout, /All good/)
  })
}

test('the types are right for every way of resolving an ESM package', (t) => {
  const args = ['attw', rootTarball, '--profile', 'esm-only', '--format', 'json']
  const { status, stdout, stderr } = spawnSync('npx', args, { cwd: root, encoding: 'utf8' })
  t.is(status, 0, stdout + stderr)
  const { analysis } = JSON.parse(stdout)
  t.deepEqual(Object.keys(analysis.entrypoints), ['.', './package.json'])
  // What the profile leaves out: tools that take a require() of ESM for an error.
  t.deepEqual(
    analysis.problems.map(({ kind }: { kind: string }) => kind),
    ['CJSResolvesToESM'],
  )
})

test('the check of an addon sees a newer glibc, another machine and another C library', (t) => {
  const own = TARGETS.find(({ name }: { name: string }) => name === OWN)
  const addon = readFileSync(join(root, addonFile(OWN)))
  // One that was built here by gcc takes its unwinder from libgcc_s; a release has its own.
  const problems: string[] = problemsOf(addon, own, '9.9')
  t.deepEqual(
    problems.filter((problem) => !problem.endsWith('libgcc_s.so.1')),
    [],
  )
  const needed: { version: string }[] = readElf(addon).versions
  t.true(needed.length > 0)
  // Of the addon itself, asked for an older glibc than it was built for.
  t.true(problemsOf(addon, own, '2.2').some((problem: string) => problem.startsWith('needs GLIBC_2.')))
  t.true(problemsOf(addon, { ...own, machine: 'riscv' }, GLIBC)[0].startsWith('is for'))
  t.true(problemsOf(addon, { ...own, libc: own.libc === 'musl' ? 'glibc' : 'musl' }, GLIBC).length > 0)
  t.throws(() => readElf(Buffer.from('#!/bin/sh\n'.padEnd(100))), { message: 'no ELF file' })
})
