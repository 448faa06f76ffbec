import type { Flow } from '../../../src/model/flow.ts';
import { readable } from '../../../src/model/readable.ts';
import type { WebExplanation, WebLeg, WebStep, WebSuggestion } from '../../../src/model/web.ts';
import { Icon } from '../parts/icon.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { Yaml } from '../parts/yaml.tsx';
import { go } from '../state/place.ts';

/** Why a flow was denied: who decided, what came nearest, and the smallest change that would let it pass. */
export function Explanation({ flow }: { readonly flow: Flow }) {
  const answer = useAnswer<WebExplanation>(`/api/explain/${encodeURIComponent(flow.id)}`);
  const said = flow.rule && readable(flow.rule.because);
  const isPolicy = flow.rule !== undefined || /policy/i.test(flow.dropReason ?? '');
  if (answer.state === 'loading') return <div class="explanation"><p class="because">{said ?? flow.dropReason}</p><p class="dim">Asking the policies …</p></div>;
  if (answer.state === 'failed') {
    return <div class="explanation"><p class="because">{said ?? flow.dropReason ?? 'Denied'}</p><p class="dim">{answer.status === 404 ? 'The nodes no longer remember this flow, so it cannot be asked about again.' : answer.error}</p></div>;
  }
  const { verdict, problem, legs, notes } = answer.value;
  return (
    <div class="explanation">
      <p class="because">{said ?? flow.dropReason}</p>
      {problem !== undefined && <p class="notice"><Icon name="alert" />{problem}</p>}
      {isPolicy && flow.verdict === 'DROPPED' && (verdict === 'allow' || verdict === 'audit') && <p class="notice"><Icon name="alert" />The policies of now decide otherwise: it would pass.</p>}
      {notes.map(note => <p key={note} class="dim">{note}</p>)}
      {isPolicy && legs.map((leg, i) => <LegView key={i} leg={leg} isOnly={legs.length === 1} said={said} />)}
    </div>
  );
}

/** `said` stands above already. */
export function LegView({ leg, isOnly, said }: { readonly leg: WebLeg; readonly isOnly: boolean; readonly said?: string | undefined }) {
  return (
    <>
      {!isOnly && <h4>{leg.from} → {leg.to} <span class="dim">{leg.port}</span></h4>}
      <ol class="steps">{leg.steps.map(step => <StepView key={step.direction} step={step} said={said} />)}</ol>
      {leg.suggestion && <SuggestionView suggestion={leg.suggestion} />}
      {leg.verdict === 'deny' && !leg.suggestion && leg.steps.length > 0 && <p class="dim">No small change of a policy would allow it.</p>}
    </>
  );
}

function StepView({ step, said }: { readonly step: WebStep; readonly said: string | undefined }) {
  const passes = step.verdict === 'allow' || step.verdict === 'redirect';
  return (
    <li class={passes ? 'step passes' : step.verdict === 'audit' ? 'step audits' : 'step denies'}>
      <span class="step-mark"><Icon name={passes ? 'check' : 'cross'} /></span>
      <div>
        <div class="step-title"><strong>{step.direction === 'egress' ? 'Leaving' : 'Reaching'} {step.who}</strong> <span class="dim">{passes ? 'allowed' : step.verdict === 'audit' ? 'denied, passes in audit' : 'denied'}</span></div>
        {step.because !== said && <p>{step.because}</p>}
        {step.policy && <p><button type="button" class="link" onClick={() => go({ page: 'policies', policy: addressOf(step), flow: undefined })}>{step.policy.namespace === undefined ? '' : `${step.policy.namespace}/`}{step.policy.name}</button> <code class="dim">{step.path}</code></p>}
        {step.reasons.map(reason => <p key={reason} class="dim">{reason}</p>)}
        {step.closedBy.map(({ policy, field }) => <p key={`${policy}${field}`} class="dim">Closed by {policy}: <code>{field}</code></p>)}
        {step.nearest.map(({ policy, field, text, missed }, i) => (
          <div key={`${policy}${field}`} class="nearest"><span class="tag">{i === 0 ? 'Nearest rule' : 'Next'}</span> {policy} <span class="dim">misses by the {missed}</span><p>{text}</p><code class="dim">{field}</code></div>
        ))}
      </div>
    </li>
  );
}

function addressOf({ policy }: WebStep): string {
  return `${policy!.kind}/${policy!.namespace === undefined ? '' : `${policy!.namespace}/`}${policy!.name}`;
}

const shownEffects = 6;

function SuggestionView({ suggestion: { changes, alsoChanges } }: { readonly suggestion: WebSuggestion }) {
  return (
    <section class="suggestion" aria-label="The smallest change that allows it">
      <h3>The smallest change that allows it</h3>
      {changes.map((change, i) => (
        <div key={i}>
          <p>{changes.length > 1 && <span class="tag">{i + 1} of {changes.length}</span>} {change.text}</p>
          <Yaml text={change.yaml} label={change.kind === 'new' ? 'New policy' : 'The policy after the change'} />
        </div>
      ))}
      {alsoChanges.length === 0 ? <p class="good"><Icon name="check" />Tried in the policy engine: it changes nothing else.</p> : (
        <div class="effects">
          <p><Icon name="alert" />Tried in the policy engine. It also changes:</p>
          <ul>
            {alsoChanges.slice(0, shownEffects).map(({ from, to, gained, lost, audited }) => (
              <li key={`${from}${to}`}>{from} → {to}: {[gained.length > 0 && `allows ${gained.join(', ')}`, lost.length > 0 && `denies ${lost.join(', ')}`, audited.length > 0 && `audits ${audited.join(', ')}`].filter(Boolean).join('; ')}</li>
            ))}
          </ul>
          {alsoChanges.length > shownEffects && <p class="dim">and {alsoChanges.length - shownEffects} more: cirri policy explain shows all</p>}
        </div>
      )}
    </section>
  );
}
