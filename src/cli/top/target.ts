/** What is looked at: a running process, or a program that is started for it. */
import { type Launched, launch } from '../../launch.js'
import { checkOptions } from '../../session/options.js'
import { open } from '../../session/target.js'
import { statusOfProgram } from '../exit.js'
import type { OutputLog } from './output-log.js'
import type { Plan } from './plan.js'
import type { Source } from './source.js'

/** Some seconds of a busy program: nothing is lost while a slow terminal takes a picture. */
const BUFFER = 1 << 20
/** A program that does not end by SIGTERM must not keep its user waiting for ever. */
const PATIENCE_MS = 5000

export class Target {
  readonly pid: number
  readonly #launched: Launched | null

  private constructor(pid: number, launched: Launched | null) {
    this.pid = pid
    this.#launched = launched
  }

  static running(pid: number): Target {
    return new Target(pid, null)
  }

  /** What the program writes goes into `output`, or to standard error. */
  static async start([command, ...args]: [string, ...string[]], output: OutputLog | null): Promise<Target> {
    const launched = await launch(command, args, {
      stdio: output ? ['ignore', 'pipe', 'pipe'] : ['inherit', 2, 2],
    })
    output?.follow(launched.child.stdout)
    output?.follow(launched.child.stderr)
    return new Target(launched.pid, launched)
  }

  /**
   * Waiting threads are sampled as well: the views of threads and stacks show them. Which time counts is chosen by
   * the views.
   */
  open(plan: Plan, signal: AbortSignal): Promise<Source> {
    const { rate, jitter, threadNames, subprocesses, native, kernel, offcpu, engine } = plan
    const options = checkOptions(
      {
        rate,
        jitter,
        threadNames,
        subprocesses,
        native,
        kernel,
        offcpu,
        ...(engine === undefined ? {} : { engine }),
        idle: true,
        timeline: true,
        bufferSize: BUFFER,
      },
      { launched: this.#launched !== null, stream: true },
    )
    return open(this.pid, options, this.#launched, signal)
  }

  /**
   * The exit status. A program that still runs gets SIGTERM: nobody would expect it to run on unseen that was
   * started to be seen. `exited`: it is known to have ended, whether or not Node has noticed.
   */
  async leave(exited: boolean): Promise<number> {
    if (!this.#launched) return 0
    const { child, exit, ended, pid } = this.#launched
    if (exited || ended) return statusOfProgram(await exit)
    child.kill('SIGTERM')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), PATIENCE_MS)
    })
    if ((await Promise.race([exit, late])) === 'late') {
      process.stderr.write(`pyprof-rs: the program goes on in spite of SIGTERM; its pid is ${pid}\n`)
      child.stdout?.destroy()
      child.stderr?.destroy()
      child.unref()
    }
    clearTimeout(timer)
    return 0
  }
}
