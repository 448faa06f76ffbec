/** Types of apimachinery meta/v1, and of the small API groups that only carry requests. */
export const metaTypes = `
ObjectMeta: Metadata that every stored object has: its name, its owner and what users attach to it.
  name string : Name, unique among objects of the same kind in the namespace. Cannot be changed.
  generateName string : Prefix of a name that the server completes, used only when name is not given.
  namespace string : Namespace that the object lives in. Empty for cluster-scoped objects. Cannot be changed.
  selfLink string : Deprecated and never set.
  uid string : Unique in time and space; set by the server.
  resourceVersion string : Opaque version of the object, used to find out whether it has changed.
  generation long plain : Number of the desired state; grows with every change of it. Set by the server.
  creationTimestamp time nullable : When the object was made. Set by the server.
  deletionTimestamp time nullable : When the object is going to be deleted. Set by the server when a graceful deletion is asked for.
  deletionGracePeriodSeconds long : Seconds that the object may take to terminate; set together with deletionTimestamp.
  labels {string} : Keys and values to select and group objects by.
  annotations {string} : Keys and values that tools keep with the object. Not used for selection.
  ownerReferences [OwnerReference] lenient key(uid) : Objects that this one depends on; it goes when the last of them is gone.
  finalizers [string] lenient set : Names that must be removed before the object can go.
  managedFields [ManagedFieldsEntry] #17 : Which manager owns which fields; kept by the server for server-side apply.

OwnerReference atomic: A reference to an owning object in the same namespace, or to a cluster-scoped one.
  apiVersion! string #5 : API version of the owner.
  kind! string #1 : Kind of the owner.
  name! string : Name of the owner.
  uid! string : UID of the owner.
  controller bool #6 : True where the owner is the managing controller.
  blockOwnerDeletion bool #7 : True where a foreground deletion of the owner waits for this object.

ManagedFieldsEntry: The set of fields that one manager owns.
  manager string : Name of the manager.
  operation string enum(Apply,Update) : The operation that led to the entry.
  apiVersion string : API version of the fields.
  time time : When the entry was last changed.
  fieldsType string #6 : Format of the fields; always FieldsV1.
  fieldsV1 json #7 : The fields.
  subresource string #8 : Subresource through which the fields were changed.


ListMeta: Metadata of lists.
  selfLink string : Deprecated and never set.
  resourceVersion string : Version of the collection when it was read.
  continue string : Token for the next chunk of a list.
  remainingItemCount long : Number of items after this chunk.

LabelSelector atomic: A query over labels; all requirements must hold. An empty selector matches everything, a missing one nothing.
  matchLabels {string} : Labels that must be present with these values.
  matchExpressions [LabelSelectorRequirement] : Further requirements.

LabelSelectorRequirement: A key, an operator and values.
  key! string : The label's key.
  operator! string : In, NotIn, Exists or DoesNotExist.
  values [string] : Values for In and NotIn.

Condition: One aspect of an object's current state.
  type! string : Name of the condition in CamelCase.
  status! string enum(True,False,Unknown) : Whether it holds.
  observedGeneration long plain : The generation that it was computed from.
  lastTransitionTime! time : When the status last changed.
  reason! string : Why, in one CamelCase word.
  message! string : Why, in a sentence.

Status: The result of a call that returns no object.
  apiVersion string
  kind string
  metadata ListMeta
  status string : Success or Failure.
  message string : What happened.
  reason string : A machine-readable reason.
  details any : Details of the failure.
  code int plain : HTTP status code.

DeleteOptions: Options of a deletion.
  apiVersion string
  kind string
  gracePeriodSeconds long : Seconds before the object is deleted; 0 means at once.
  preconditions Preconditions : What must hold for the deletion to happen.
  orphanDependents bool : Deprecated; use propagationPolicy.
  propagationPolicy string : Orphan, Background or Foreground.
  dryRun [string] : All: do everything but the change.
  ignoreStoreReadErrorWithClusterBreakingPotential bool : Accepted and ignored.

Preconditions: What must hold for an operation to happen.
  uid string : The target's UID.
  resourceVersion string : The target's resource version.
`;

export const authenticationTypes = `
TokenRequest: Asks for a token of a service account.
  apiVersion string
  kind string
  metadata meta/ObjectMeta
  spec! TokenRequestSpec : What is asked for.
  status TokenRequestStatus : The token.

TokenRequestSpec: What kind of token is asked for.
  audiences [string] : Intended audiences.
  expirationSeconds long #4 : Asked duration of validity.
  boundObjectRef any : Object that the token is bound to.

TokenRequestStatus: A token.
  token! string : The opaque token.
  expirationTimestamp! time : When it expires.

TokenReview: Asks who a token belongs to.
  apiVersion string
  kind string
  metadata meta/ObjectMeta
  spec! TokenReviewSpec : The token.
  status any : The answer.

TokenReviewSpec: The token to check.
  token string : The opaque token.
  audiences [string] : Audiences that the caller is.

SelfSubjectReview: Asks who the caller is.
  apiVersion string
  kind string
  metadata meta/ObjectMeta
  status any : The caller's name and groups.
`;

export const authorizationTypes = `
SelfSubjectAccessReview: Asks whether the caller may do something.
  apiVersion string
  kind string
  metadata meta/ObjectMeta
  spec! SelfSubjectAccessReviewSpec : What the caller wants to do.
  status any : The answer.

SelfSubjectAccessReviewSpec: Either an action on a resource or on a path.
  resourceAttributes ResourceAttributes : Action on a resource.
  nonResourceAttributes NonResourceAttributes : Action on a path.

ResourceAttributes: An action on a resource.
  namespace string : Namespace; empty means all, or none for what has no namespace.
  verb string : The action.
  group string : API group.
  version string : API version.
  resource string : Plural name of the resource.
  subresource string : Subresource.
  name string : Name of one object; empty means all.
  fieldSelector any : Limits the action to some objects.
  labelSelector any : Limits the action to some objects.

NonResourceAttributes: An action on a path.
  path string : The path.
  verb string : The action.

SelfSubjectRulesReview: Asks what the caller may do in a namespace.
  apiVersion string
  kind string
  metadata meta/ObjectMeta
  spec! SelfSubjectRulesReviewSpec : The namespace.
  status any : The answer.

SelfSubjectRulesReviewSpec: The namespace that is asked about.
  namespace string : The namespace.
`;
