// A check for CI: fails when a function takes a larger share of the CPU time than it used to.
//
//     node examples/ci-check.mjs --update baseline.json python3 bench.py    # once, and when a change is wanted
//     node examples/ci-check.mjs baseline.json python3 bench.py             # in CI
//
// Shares compare well between machines of different speed; times do not.
import { readFile, writeFile } from 'node:fs/promises'
import { record } from 'pyprof-rs'

/** Growth that counts, in parts of all CPU time: below it is chance. */
const TOLERANCE = 0.05

const args = process.argv.slice(2)
const update = args[0] === '--update' && args.shift() !== undefined
const [file, command, ...rest] = args
if (command === undefined) {
  console.error('Usage: node examples/ci-check.mjs [--update] BASELINE.json COMMAND [ARGS]')
  process.exit(2)
}

const profile = await record({ command, args: rest, mode: 'cpu' })
if (profile.exit?.code !== 0) {
  console.error(`the program failed: ${JSON.stringify(profile.exit)}`)
  process.exit(1)
}
// A function is known by its name and file: its line moves with every change above it.
const shares = {}
for (const { name, file, selfShare } of profile.hottest(1000)) {
  const key = `${name} (${file})`
  shares[key] = (shares[key] ?? 0) + selfShare
}

if (update) {
  await writeFile(file, `${JSON.stringify(shares, null, 2)}\n`)
  console.log(`${file} written from ${profile.stats.samples} samples`)
} else {
  const baseline = JSON.parse(await readFile(file, 'utf8'))
  const grown = Object.entries(shares)
    .map(([name, share]) => ({ name, share, before: baseline[name] ?? 0 }))
    .filter(({ share, before }) => share - before > TOLERANCE)
    .sort((a, b) => b.share - b.before - (a.share - a.before))
  for (const { name, share, before } of grown) console.log(`${percent(before)} -> ${percent(share)}  ${name}`)
  console.log(
    grown.length === 0
      ? `no function grew by more than ${percent(TOLERANCE)} (${profile.stats.samples} samples)`
      : `${grown.length} functions grew by more than ${percent(TOLERANCE)} of the CPU time`,
  )
  process.exitCode = grown.length === 0 ? 0 : 1
}

function percent(share) {
  return `${(100 * share).toFixed(1)}%`
}
