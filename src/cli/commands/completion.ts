import { Command } from 'commander';
import { CirriError } from '../../std/errors.ts';
import { commands } from '../commands.ts';
import { line } from '../output.ts';

export function register(program: Command): void {
  program.command('completion')
    .summary('completion for bash, zsh or fish')
    .description('Prints a script that teaches a shell the commands and flags.')
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText('after', `
Examples:
  source <(./cirri completion bash)
  ./cirri completion zsh > "\${fpath[1]}/_cirri"
  ./cirri completion fish > ~/.config/fish/completions/cirri.fish`)
    .action(async (shell: string) => {
      const words = await wordsOf();
      const script = { bash, zsh, fish }[shell];
      if (!script) throw new CirriError('ERR_FLAG', `no completion for "${shell}": known are bash, zsh and fish`);
      line(script(words));
    });
}

interface Words {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly string[];
  readonly subcommands: readonly string[];
}

async function wordsOf(): Promise<Words[]> {
  return Promise.all([...commands].map(async ([name, { summary, load }]) => {
    const program = new Command().enablePositionalOptions();
    (await load()).register(program);
    const command = program.commands[0]!;
    const flags = [command, ...command.commands].flatMap(each => each.options.map(option => option.long ?? option.short ?? ''));
    return { name, summary, flags: [...new Set([...flags, '--help'])].filter(Boolean), subcommands: command.commands.map(each => each.name()) };
  }));
}

function bash(words: readonly Words[]): string {
  const cases = words.map(({ name, flags, subcommands }) => `    ${name}) words="${[...subcommands, ...flags].join(' ')}" ;;`).join('\n');
  return `_cirri() {
  local words current="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then words="${words.map(word => word.name).join(' ')}"
  else case "\${COMP_WORDS[1]}" in
${cases}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _cirri cirri ./cirri`;
}

function zsh(words: readonly Words[]): string {
  const quote = (text: string) => text.replaceAll("'", '’').replaceAll(':', '\\:');
  const cases = words.map(({ name, flags, subcommands }) => `    ${name}) compadd -- ${[...subcommands, ...flags].join(' ')}; _files ;;`).join('\n');
  return `#compdef cirri
_cirri() {
  if (( CURRENT == 2 )); then
    local -a commands=(${words.map(({ name, summary }) => `'${name}:${quote(summary)}'`).join(' ')})
    _describe command commands
    return
  fi
  case $words[2] in
${cases}
  esac
}
compdef _cirri cirri`;
}

function fish(words: readonly Words[]): string {
  const quote = (text: string) => text.replaceAll("'", '’');
  return [
    'complete -c cirri -f',
    ...words.map(({ name, summary }) => `complete -c cirri -n __fish_use_subcommand -a ${name} -d '${quote(summary)}'`),
    ...words.flatMap(({ name, flags }) => flags.filter(flag => flag.startsWith('--')).map(flag => `complete -c cirri -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)}`)),
  ].join('\n');
}
