import { arch, platform } from 'node:os';
import type { Command, Option } from 'commander';
import { stringify } from 'yaml';
import { version } from '../../cluster/root.ts';
import type { FlagUse } from '../../flows/flags.ts';
import { addFlowOptions, type ObserveFlags } from '../observe/options.ts';
import { configPath, HubbleConfig, type ConfigValue } from '../observe/hubble-config.ts';
import { registerEvents } from '../observe/events.ts';
import { runObserve } from '../observe/run.ts';
import { registerList } from '../hubble/list.ts';
import { registerPortForward } from '../hubble/port-forward.ts';
import { registerReflect } from '../hubble/reflect.ts';
import { registerStatus } from '../hubble/status.ts';
import { registerToken } from '../hubble/token.ts';
import { registerWatch } from '../hubble/watch.ts';
import { line } from '../output.ts';
import { completionScript } from './completion.ts';

/** The version of Hubble's command line whose flags and layouts these are. */
const hubbleVersion = 'v1.19';

export function register(program: Command): void {
  const hubble = program.command('hubble')
    .summary("Hubble's command line: observe, status, list, watch, config, with its output")
    .description("Hubble's command line, with its flags and its output to the byte. ./hubble is the same.")
    .enablePositionalOptions()
    .option('--config <file>', `settings (default ${configPath({})})`)
    .addHelpText('after', `
Examples:
  ./hubble observe --namespace demo --verdict DROPPED --follow
  ./hubble observe --to-label app=api -o jsonpb | jq .flow.verdict
  ./hubble config set server relay.example:4245`);
  registerObserve(hubble);
  registerStatus(hubble, command => configured(command, hubble));
  registerList(hubble, command => configured(command, hubble));
  registerWatch(hubble, command => configured(command, hubble));
  registerReflect(hubble, command => configured(command, hubble));
  registerPortForward(hubble);
  registerToken(hubble);
  registerConfig(hubble);
  hubble.command('version').summary('versions').description('The version of cirri, and that of the Hubble whose flags and layouts these are.')
    .action(() => line(`hubble ${hubbleVersion} (cirri ${version()}) on ${platform()}/${arch()}`));
  hubble.command('completion').summary('completion for bash, zsh or fish').argument('<shell>', 'bash, zsh or fish')
    .description('Prints a script that teaches a shell the commands and flags of ./hubble.')
    .action((shell: string) => line(completionScript(shell, hubble, 'hubble')));
  everyCommand(hubble).forEach(command => command.option('--config <file>', 'settings'));
}

/** Below this one: a file of settings may be named before or behind the command. */
function everyCommand(command: Command): Command[] {
  return command.commands.flatMap(sub => [sub, ...everyCommand(sub)]);
}

function configOf(command: Command, hubble: Command): HubbleConfig {
  const file = (each: Command) => each.opts<{ readonly config?: string }>().config;
  return new HubbleConfig(file(command) ?? file(command.parent ?? hubble) ?? file(hubble));
}

function registerObserve(hubble: Command): void {
  const uses: FlagUse[] = [];
  const observe = hubble.command('observe')
    .summary('see flows')
    .description('Flows of all nodes, in the order of time. Repeated filters are alternatives, different ones must all match; --not turns the next one round.')
    .enablePositionalOptions();
  addFlowOptions(observe, 'hubble', uses);
  observe.action(() => runObserve(configured<ObserveFlags>(observe, hubble), uses, 'hubble'));
  registerEvents(observe, command => configured(command, hubble));
  const flowUses: FlagUse[] = [];
  const flows = observe.command('flows').summary('the same').description('Flows of all nodes, in the order of time.');
  addFlowOptions(flows, 'hubble', flowUses);
  flows.action(() => runObserve(configured<ObserveFlags>(flows, hubble), flowUses, 'hubble'));
}

/** The command's flags, with environment and configuration for those that were not given. */
export function configured<T extends object>(command: Command, hubble: Command): T {
  const config = configOf(command, hubble);
  const values: Record<string, unknown> = { ...command.opts() };
  for (const option of command.options) {
    const name = option.attributeName();
    const source = command.getOptionValueSource(name);
    if (option.long === undefined || (source !== undefined && source !== 'default')) continue;
    const value = config.get(option.long.slice(2));
    if (value !== undefined) values[name] = optionValue(option, value);
  }
  return values as T;
}

function optionValue(option: Option, value: ConfigValue): unknown {
  if (option.isBoolean()) return String(value).toLowerCase() === 'true' ? true : undefined;
  if (Array.isArray(option.defaultValue)) return Array.isArray(value) ? value : [String(value)];
  return Array.isArray(value) ? value.join(',') : String(value);
}

function registerConfig(hubble: Command): void {
  const config = hubble.command('config').summary('settings: get, set, reset, view').description('Settings of hubble: keys are names of flags. The environment (HUBBLE_SERVER) comes before the file.');
  config.command('get').argument('[key]', 'one setting').summary('show settings').description('One setting, or all of them.').action((key: string | undefined, _: unknown, command: Command) => {
    const all = configOf(command, hubble).all();
    if (key !== undefined) return line(configText(all[key]));
    for (const [name, value] of Object.entries(all)) line(`${name}: ${configText(value)}`);
  });
  config.command('set').argument('<key>', 'name of a flag').argument('[value]', 'without it: the default again').summary('change one').description('Writes one setting into the file.')
    .action((key: string, value: string | undefined, _: unknown, command: Command) => configOf(command, hubble).set(key, value ?? ''));
  config.command('reset').argument('[key]', 'one setting; without it: all').summary('defaults again').description('Takes settings out of the file.').action((key: string | undefined, _: unknown, command: Command) => configOf(command, hubble).reset(key));
  config.command('view').summary('all, as YAML').description('What is in force, as YAML.').action((_: unknown, command: Command) => void process.stdout.write(stringify(configOf(command, hubble).all())));
}

function configText(value: ConfigValue | undefined): string {
  return Array.isArray(value) ? `[${value.join(', ')}]` : String(value ?? '');
}
