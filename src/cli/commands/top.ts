import { UsageError } from '../exit.js'
import { fileName } from '../format.js'
import { parse } from '../options.js'
import { OutputLog } from '../top/output-log.js'
import { type Plan, planOf } from '../top/plan.js'
import { hasTerminal, Terminal } from '../top/terminal.js'

/** Of "now", on a terminal: long enough to read, short enough to follow. */
const WINDOW_NS = 5e9

export async function run(args: string[]): Promise<number> {
  const plan = planOf(parse('top', args))
  if (hasTerminal() && !plan.json) return live(plan)
  if (plan.target === null) {
    throw new UsageError(
      'top needs a pid, or a program after --: without a terminal nobody can choose',
      'top',
    )
  }
  return print(plan)
}

async function live(plan: Plan): Promise<number> {
  const terminal = new Terminal()
  try {
    const asked = plan.target ?? (await choose(terminal))
    if (asked === null) return 0
    // A picture comes first: loading the addon takes longer than drawing.
    const { Live } = await import('../top/live.js')
    const output = new OutputLog()
    const view = new Live({
      screen: terminal.screen,
      colours: terminal.colours,
      command: 'program' in asked ? asked.program.join(' ') : '',
      plan,
      windowNs: WINDOW_NS,
      output: output.lines,
      fileName: (pid) => fileName(plan.name ?? String(pid), 'speedscope', new Date()),
      start: async () => {
        const { Target } = await import('../top/target.js')
        return 'pid' in asked ? Target.running(asked.pid) : Target.start(asked.program, output)
      },
    })
    terminal.show(view)
    return await view.run()
  } finally {
    terminal.close()
  }
}

async function choose(terminal: Terminal): Promise<{ pid: number } | null> {
  const { Chooser } = await import('../top/choose.js')
  const chooser = new Chooser(terminal.screen, terminal.colours)
  terminal.show(chooser)
  const pid = await chooser.run()
  return pid === null ? null : { pid }
}

async function print(plan: Plan): Promise<number> {
  const [{ printTables }, { Target }] = await Promise.all([
    import('../top/tables.js'),
    import('../top/target.js'),
  ])
  const asked = plan.target!
  const target = 'pid' in asked ? Target.running(asked.pid) : await Target.start(asked.program, null)
  return printTables(plan, target)
}
