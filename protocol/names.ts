/** The API group and every label and annotation that Warmpool writes. */
export const API_GROUP = 'warmpool.dev';
export const API_VERSION = 'v1alpha1';

/** On the operator's pod that serves claims. */
export const LABEL_SERVING = 'warmpool.dev/serving';

/** In the certificates with which operator and host-agents prove to each other who they are. */
export const OPERATOR_TLS_NAME = 'operator.warmpool.dev';
export const HOST_AGENT_TLS_NAME = 'host-agent.warmpool.dev';

export const LABEL_POOL = 'warmpool.dev/pool';
/**
 * `standby`, `claimed` or `retired` (a standby pod that the pool removes). Changed exactly once in a pod's life, by a conditional write
 * that only succeeds on a standby pod: so a pod has one claim at most, and none that the pool removes.
 */
export const LABEL_STATE = 'warmpool.dev/state';
export const LABEL_CLAIM = 'warmpool.dev/claim';
export const LABEL_TEMPLATE_HASH = 'warmpool.dev/template-hash';
/** JSON of {@link ClaimRecord}: what a restarted operator needs to know about a claimed pod. Never holds an env value. */
export const ANNOTATION_CLAIM = 'warmpool.dev/claim-record';
/** `name/version`, for people. */
export const ANNOTATION_RUNTIME = 'warmpool.dev/runtime';
/** JSON of the sidecars that a load has to reload: of the template that the pod was made from, whatever the pool says by then. */
export const ANNOTATION_SIDECARS = 'warmpool.dev/sidecars';
/** RFC 3339 time until which a released instance is kept for the same function and tenant. */
export const ANNOTATION_IDLE_UNTIL = 'warmpool.dev/idle-until';

/** The CSI driver that the host-agents serve: of the CSIDriver object, and of each standby pod's inline volume. */
export const CSI_DRIVER = 'code.warmpool.dev';
/** Where a standby pod mounts the volume that it shares with the host-agent. Stack traces of user code show it. */
export const POD_VOLUME_PATH = '/run/warmpool';
/** In that volume: where the code appears. */
export const POD_CODE_FOLDER = 'code';
/** Beside the code: forms of it that make a load faster, one folder for each interpreter that they fit. A runtime may use them. */
export const POD_PREPARED_FOLDER = 'prepared';
/** The emptyDir that the sidecars of a pod share with the host-agent, each by a folder of its own name. The runtime never sees it. */
export const SIDECAR_VOLUME = 'warmpool-sidecars';
/** Where a sidecar mounts its folder. */
export const SIDECAR_PATH = '/run/warmpool-sidecar';
