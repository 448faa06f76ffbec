import type { WebPolicy, WebRule, WebShadowDifference } from '../../../src/model/web.ts';
import { ago, bytes, count } from '../parts/format.ts';
import { Icon } from '../parts/icon.tsx';
import { Yaml } from '../parts/yaml.tsx';
import { go } from '../state/place.ts';

/** One policy: what it is, what each rule did, what a shadow would have done, and its text. */
export function PolicyDetail({ policy }: { readonly policy: WebPolicy }) {
  const most = Math.max(1, ...policy.rules.map(rule => rule.packets));
  return (
    <article class="policy">
      <header>
        <h2>{policy.namespace !== undefined && <span class="dim">{policy.namespace}/</span>}{policy.name}</h2>
        <p class="dim">{policy.kind} · {modeText(policy)} · selects {policy.pods === 1 ? '1 pod' : `${count(policy.pods)} pods`}</p>
      </header>
      {policy.errors.map(error => <p key={error} class="notice dropped"><Icon name="alert" />{error}</p>)}
      {policy.notEnforced.map(({ node, error }) => <p key={node} class="notice dropped"><Icon name="alert" />Not in force on {node}: {error}</p>)}
      {policy.pods === 0 && policy.mode !== 'invalid' && <p class="notice"><Icon name="alert" />It selects no pod: none of its rules can decide.</p>}
      {policy.rules.length > 0 && (
        <table class="rules">
          <thead><tr><th scope="col">Rule</th><th scope="col" class="number">Packets</th><th scope="col" /><th scope="col" class="number">Connections</th><th scope="col" class="number">Bytes</th><th scope="col" class="number">Last hit</th></tr></thead>
          <tbody>{policy.rules.map(rule => <RuleRow key={rule.id} rule={rule} most={most} policy={policy} />)}</tbody>
        </table>
      )}
      {policy.shadow && <Shadow differences={policy.shadow.differences} />}
      <Yaml text={policy.yaml} label="As written" />
    </article>
  );
}

function modeText({ mode }: WebPolicy): string {
  switch (mode) {
    case 'enforce': return 'in force';
    case 'audit': return 'in audit: denials pass and are reported';
    case 'shadow': return 'in shadow: decides nothing, is compared';
    case 'invalid': return 'invalid';
  }
}

function RuleRow({ rule, most, policy }: { readonly rule: WebRule; readonly most: number; readonly policy: WebPolicy }) {
  const denies = rule.effect === 'deny' || rule.effect === 'default-deny';
  return (
    <tr class={rule.unused ? 'unused' : ''}>
      <td>
        <div class="rule-title"><span class={`effect ${denies ? 'denies' : 'allows'}`}>{denies ? 'deny' : rule.effect === 'pass' ? 'pass' : 'allow'}</span> {rule.path === '' ? `no rule matched, ${rule.direction}` : <code>{rule.path}</code>}{rule.unused && <span class="tag">never used</span>}</div>
        <p class="dim">{shortened(rule, policy)}</p>
      </td>
      <td class="number">{denies && rule.packets > 0 ? <button type="button" class="link dropped" title="Show these flows" onClick={() => go({ page: 'flows', policy: undefined, filter: { verdict: 'DROPPED', ...(policy.namespace !== undefined && { namespace: policy.namespace }) } })}>{count(rule.packets)}</button> : count(rule.packets)}</td>
      <td class="bar"><span style={{ width: `${rule.packets === 0 ? 0 : Math.max(2, 100 * Math.log1p(rule.packets) / Math.log1p(most))}%` }} class={denies ? 'denies' : ''} /></td>
      <td class="number">{count(rule.connections)}</td>
      <td class="number">{bytes(rule.bytes)}</td>
      <td class="number">{rule.lastHit === undefined ? '–' : ago(rule.lastHit)}</td>
    </tr>
  );
}

/** The policy's name stands above already. */
function shortened({ because }: WebRule, { kind, namespace, name }: WebPolicy): string {
  const own = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name} `;
  const rest = because.startsWith(own) ? because.slice(own.length).replace(/^\([^)]*\) /, '') : because;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

function Shadow({ differences }: { readonly differences: readonly WebShadowDifference[] }) {
  return (
    <section>
      <h3>What it would change</h3>
      {differences.length === 0 ? <p class="good"><Icon name="check" />Nothing that was seen would be decided otherwise.</p> : (
        <table class="rules">
          <thead><tr><th scope="col">Would</th><th scope="col">Endpoint</th><th scope="col">Peer</th><th scope="col">Ports</th><th scope="col" class="number">Connections</th><th scope="col" class="number">Last</th></tr></thead>
          <tbody>
            {differences.map((difference, i) => (
              <tr key={i}>
                <td><span class={`effect ${difference.verdict === 'deny' ? 'denies' : 'allows'}`}>{difference.verdict}</span></td>
                <td>{difference.endpoint}</td><td><span class="dim">{difference.direction === 'ingress' ? 'from ' : 'to '}</span>{difference.peer}</td><td>{difference.ports.join(', ')}</td>
                <td class="number">{count(difference.connections)}</td><td class="number">{difference.lastHit === undefined ? '–' : ago(difference.lastHit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
