/** The real server, started as a user starts it, on a free port of its own. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OWN = ".venv/bin/everslide";

/** The command of the server: EVERSLIDE_COMMAND, the project's own environment, or the one on the path. */
function command(): string[] {
  const given = process.env["EVERSLIDE_COMMAND"];
  return given ? given.split(/\s+/) : [existsSync(OWN) ? OWN : "everslide"];
}

/** Why the real server cannot be started here, or false. With CI=true that is a failure, never a skip. */
export function noServer(): string | false {
  const [program = "", ...args] = command();
  if (!spawnSync(program, [...args, "--help"]).error) return false;
  const reason = `NOT TESTED: ${program} cannot be run. Set up the project, or set EVERSLIDE_COMMAND.`;
  if (process.env["CI"] === "true") throw new Error(reason);
  console.error(reason);
  return reason;
}

export class RealServer {
  readonly #folder = mkdtempSync(join(tmpdir(), "everslide-viewer-test-"));
  #port = 0;
  #process: ChildProcess | null = null;
  #log = "";

  /** flags: further ones of `everslide serve`. */
  constructor(
    readonly model: string,
    readonly flags: readonly string[] = [],
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts, always on the same port; resolves when the server answers. */
  async start(timeoutMs = 90_000): Promise<void> {
    this.#port ||= await freePort();
    const [program = "", ...args] = command();
    const folders = ["--cache", join(this.#folder, "cache"), "--data", join(this.#folder, "data")];
    const flags = ["serve", "--port", String(this.#port), ...folders, "--model", this.model, ...this.flags];
    const child = spawn(program, [...args, ...flags], { stdio: ["ignore", "pipe", "pipe"] });
    const log = (text: Buffer): void => void (this.#log = (this.#log + String(text)).slice(-4000));
    child.stdout.on("data", log);
    child.stderr.on("data", log);
    this.#process = child;
    for (const end = Date.now() + timeoutMs; Date.now() < end && child.exitCode === null;) {
      const up = await fetch(`${this.url}/healthz`).then(
        (response) => response.ok,
        () => false,
      );
      if (up) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await this.stop();
    throw new Error(`the server did not start:\n${this.#log}`);
  }

  /** Ends the server; SIGKILL is a crash. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
    child.kill(signal);
    await gone;
    clearTimeout(late);
  }

  /** Ends the server and forgets what it painted. */
  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
