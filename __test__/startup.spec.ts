/** What a command loads before it does its work: start-up is mostly that. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { cli, temporaryFolder } from './helpers/cli.js'

/** The files of the package, and of its dependencies, that `pyprof-rs args` loads, as V8 counts them. */
async function loaded(t: ExecutionContext, ...args: string[]): Promise<string[]> {
  const folder = temporaryFolder(t)
  await cli(t, args, { env: { ...process.env, NODE_V8_COVERAGE: folder } }).done
  const reports = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
  return reports
    .flatMap(({ result }) => result.map(({ url }: { url: string }) => url))
    .filter((url) => url.startsWith('file:'))
    .map((url) => url.replace(/^.*?\/(dist|node_modules)\//, '$1/'))
    .sort()
}

test('--version loads nothing but what errors need', async (t) => {
  const files = ['dist/cli/exit.js', 'dist/cli/main.js', 'dist/cli/terminal/plain.js', 'dist/errors.js']
  t.deepEqual(await loaded(t, '--version'), files)
})

for (const command of [['ps'], ['dump', '1'], ['help', 'record']]) {
  test(`${command.join(' ')} loads no formats, no sessions, no other command and no dependency`, async (t) => {
    const files = await loaded(t, ...command)
    t.true(files.includes('dist/cli/options.js'), files.join())
    const own = `dist/cli/commands/${command[0]}.js`
    const heavy = /^node_modules|^dist\/(formats|session|record|profile|cli\/commands)/
    t.deepEqual(
      files.filter((file) => heavy.test(file) && file !== own),
      [],
    )
  })
}
