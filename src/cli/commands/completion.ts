import { Command } from 'commander';
import { resources } from '../../kube/resources.ts';
import type { KubeObject } from '../../kube/types.ts';
import { policyAnnotations } from '../../policy/policy.ts';
import { CirriError } from '../../std/errors.ts';
import { commands } from '../commands.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';

export function register(program: Command): void {
  program.command('completion')
    .summary('completion for bash, zsh or fish')
    .description('Prints a script that teaches a shell the commands, their flags, and the names of policies (of the live cluster, where there is one).')
    .argument('<shell>', 'bash, zsh or fish; policies or shadows: the names that the scripts ask for')
    .addHelpText('after', `
Examples:
  source <(./cirri completion bash)
  ./cirri completion zsh > "\${fpath[1]}/_cirri"
  ./cirri completion fish > ~/.config/fish/completions/cirri.fish`)
    .action(async (shell: string) => {
      if (shell === 'policies' || shell === 'shadows') return printPolicies(shell === 'shadows');
      line(scriptOf(shell, await wordsOf(), 'cirri'));
    });
}

/** Completion for a command with a name of its own: `hubble` for `cirri hubble`. */
export function completionScript(shell: string, command: Command, name: string): string {
  return scriptOf(shell, command.commands.map(sub => wordsOfCommand(sub, sub.name(), sub.summary())), name);
}

function scriptOf(shell: string, words: readonly Words[], name: string): string {
  const script = { bash, zsh, fish }[shell];
  if (!script) throw new CirriError('ERR_FLAG', `no completion for "${shell}": known are bash, zsh and fish`);
  return script(words, name);
}

// ---- names ----

/** What the shell offers for these commands' first word; they take a policy's name. */
const namesFor: Readonly<Record<string, 'policies' | 'shadows'>> = { 'policy get': 'policies', 'policy stats': 'policies', 'policy shadow': 'shadows' };

const policyResources = [
  resources.networkPolicies, resources.ciliumNetworkPolicies, resources.ciliumClusterwideNetworkPolicies,
  resources.adminNetworkPolicies, resources.baselineAdminNetworkPolicies, resources.clusterNetworkPolicies,
];

/** A shell asks between two key strokes: without a cluster, or without the right to look, there is nothing to offer. */
async function printPolicies(shadows: boolean): Promise<void> {
  try {
    const { client } = openContext();
    const lists = await Promise.all(policyResources.map(resource => client.list<KubeObject>(resource)));
    client.close();
    const offered = lists.flatMap(({ items }) => items).filter(({ metadata }) => !shadows || metadata.annotations?.[policyAnnotations.mode] === 'shadow');
    for (const name of [...new Set(offered.map(({ metadata: { namespace, name: own } }) => (namespace === undefined ? own : `${namespace}/${own}`)))].sort()) line(name);
  } catch {
    process.exitCode = 1;
  }
}

// ---- scripts ----

interface Words {
  /** `policy`, `policy get`. */
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly string[];
  readonly subcommands: readonly Words[];
}

async function wordsOf(): Promise<Words[]> {
  return Promise.all([...commands].map(async ([name, { summary, load }]) => {
    const program = new Command().enablePositionalOptions();
    (await load()).register(program);
    return wordsOfCommand(program.commands[0]!, name, summary);
  }));
}

function wordsOfCommand(command: Command, name: string, summary: string): Words {
  const flags = command.options.map(option => option.long ?? option.short ?? '').filter(Boolean);
  return { name, summary, flags: [...new Set([...flags, '--help'])], subcommands: command.commands.map(sub => wordsOfCommand(sub, `${name} ${sub.name()}`, sub.summary())) };
}

const lastWord = ({ name }: Words) => name.split(' ').at(-1)!;

/** Every command and subcommand, the deepest first: what a line begins with is the first that fits. */
function deepestFirst(words: readonly Words[]): Words[] {
  return words.flatMap(word => [...deepestFirst(word.subcommands), word]);
}

function bash(words: readonly Words[], name: string): string {
  const cases = deepestFirst(words).map(({ name, flags, subcommands }) =>
    `    "${name} "*) words="${[...subcommands.map(lastWord), ...flags].join(' ')}"${namesFor[name] ? ` names=${namesFor[name]}` : ''} ;;`).join('\n');
  return `_${name}() {
  local words names current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[*]:1:COMP_CWORD-1}"
  case "$before " in
    " ") words="${words.map(word => word.name).join(' ')}" ;;
${cases}
  esac
  if [ -n "$names" ] && [ "\${current#-}" = "$current" ]; then words="$words $("\${COMP_WORDS[0]}" completion "$names" 2>/dev/null)"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _${name} ${name} ./${name}`;
}

function zsh(words: readonly Words[], name: string): string {
  const quote = (text: string) => text.replaceAll("'", '’').replaceAll(':', '\\:');
  const offer = ({ name, flags, subcommands }: Words) => `compadd -- ${[...subcommands.map(lastWord), ...flags].join(' ')}${namesFor[name] ? ` \${(f)"$($words[1] completion ${namesFor[name]} 2>/dev/null)"}` : ''}; _files`;
  const cases = deepestFirst(words).map(word => `    '${word.name} '*) ${offer(word)} ;;`).join('\n');
  return `#compdef ${name}
_${name}() {
  if (( CURRENT == 2 )); then
    local -a commands=(${words.map(({ name, summary }) => `'${name}:${quote(summary)}'`).join(' ')})
    _describe command commands
    return
  fi
  case "\${(j: :)words[2,CURRENT-1]} " in
${cases}
  esac
}
compdef _${name} ${name}`;
}

function fish(words: readonly Words[], name: string): string {
  const quote = (text: string) => text.replaceAll("'", '’');
  const seen = ({ name }: Words) => name.split(' ').map(word => `__fish_seen_subcommand_from ${word}`).join('; and ');
  const below = (word: Words): string[] => {
    const { subcommands } = word;
    const choice = subcommands.map(sub => `complete -c ${name} -n '${seen(word)}; and not __fish_seen_subcommand_from ${subcommands.map(lastWord).join(' ')}' -a ${lastWord(sub)} -d '${quote(sub.summary)}'`);
    const flags = subcommands.length > 0 ? [] : word.flags.filter(flag => flag.startsWith('--')).map(flag => `complete -c ${name} -n '${seen(word)}' -l ${flag.slice(2)}`);
    const names = namesFor[word.name] ? [`complete -c ${name} -n '${seen(word)}' -a '(${name} completion ${namesFor[word.name]} 2>/dev/null)'`] : [];
    return [...choice, ...flags, ...names, ...subcommands.flatMap(below)];
  };
  return [
    `complete -c ${name} -f`,
    ...words.map(({ name: word, summary }) => `complete -c ${name} -n __fish_use_subcommand -a ${word} -d '${quote(summary)}'`),
    ...words.flatMap(below),
  ].join('\n');
}
