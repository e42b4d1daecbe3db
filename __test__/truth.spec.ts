/** Stacks of programs whose call graph makes some pairs impossible, on every Python there is: see benches/. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'

const root = join(import.meta.dirname, '..')
const FIVE_MINUTES = 300_000

function oracle(...options: string[]) {
  return spawnSync(
    'python3',
    [join(root, 'benches/truth/run.py'), '--tool', 'pyprof', '--check', 'truth', ...options],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    },
  )
}

for (const [builds, leaf, rate, targets] of [
  ['usual', 'work', '1000', ['tree', 'chains', 'gens', 'recursion', 'names', 'lines']],
  ['usual', 'empty', '10000', ['tree', 'chains', 'gens', 'recursion']],
  // Without the GIL, with debug checks, with a JIT at work.
  ['special', 'work', '1000', ['tree', 'gens', 'recursion', 'lines']],
] as const) {
  test.serial(
    `no kept stack is impossible or rootless: ${builds} builds, ${leaf} leaves, ${rate} Hz`,
    (t) => {
      t.timeout(2 * FIVE_MINUTES)
      const options = ['--builds', builds, '--leaf', leaf, '--rate', rate, '--seconds', '2', '--examples']
      const run = oracle(...options, '--target', ...targets)
      for (const [, skipped] of run.stdout.matchAll(/^skipped: (.*)$/gm)) t.log(`skipped: ${skipped}`)
      const missed = run.stdout.split('\n').filter((line) => line.startsWith('missed: '))
      // Logs are cut in places: what is wrong comes first, the whole table only then.
      if (run.status !== 0) t.log(`${missed.join('\n')}\n${run.stderr}\n${run.stdout}`)
      t.deepEqual(missed, [])
      t.is(run.status, 0)
      // At least one row was judged, or the machine has one core only.
      t.regex(run.stdout, /^(\S.*\bpyprof\b|skipped: all)/m)
    },
  )
}

for (const [folder, what] of [
  ['truth', 'the oracle itself: true stacks pass, impossible ones do not'],
  ['speed', "the speed bench's arithmetic"],
] as const) {
  test(what, (t) => {
    const run = spawnSync(
      'python3',
      ['-m', 'unittest', 'discover', '-s', join(root, 'benches', folder), '-p', 'test_*.py'],
      { encoding: 'utf8' },
    )
    t.is(run.status, 0, run.stderr)
  })
}
