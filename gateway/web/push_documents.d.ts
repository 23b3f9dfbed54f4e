/** What the pages read from the push door; `openapi.yaml` describes the documents in full. Times are RFC 3339. */

import type { Names } from "./documents";

export type FileMessage = {
  code: string;
  text: string;
  line: number | null;
  last_line: number | null;
  element: number | null;
  column: string | null;
  header: string | null;
  path: string | null;
  unit: string | null;
  name: string | null;
  category: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: its members depend on the code
  parameters: { [name: string]: any };
};

export type Problem = {
  status: number;
  code: string;
  detail: string;
  mistakes: FileMessage[];
  conflicts: DecisionConflict[];
};

export type Named = { id: string; name: string; names?: Names };

export type ReceiptState = "published" | "embargoed" | "held" | "rejected" | "superseded";

export type OwnUnit = Named & {
  municipality: string;
  eligible: number | null;
  revision: number | null;
  status: string | null;
  counted_at: string | null;
  ballots: number | null;
  accepted_at: string | null;
  state: ReceiptState | null;
};

export type OwnReports = {
  election: Named & { timezone: string | null };
  rehearsal: boolean;
  role: "sender" | "operator";
  categories: string[];
  publish_from: string;
  released: boolean;
  closed: boolean;
  municipalities: Named[];
  units: OwnUnit[];
};

export type Figures = { ballots: number; blank: number; rejected: number };

export type Change = { before: Figures | null; after: Figures | null };

export type Finding = {
  code: string;
  severity: "note" | "warning" | "red_line";
  // biome-ignore lint/suspicious/noExplicitAny: its members depend on the code
  evidence: { [member: string]: any };
};

export type Comparison = {
  unit: string;
  name: string;
  revision: number;
  revision_before: number | null;
  status: string;
  status_before: string | null;
  counted_at: string;
  effect: "first" | "replaces" | "repeats" | "older" | "unknown";
  total: Change;
  categories: { [category: string]: Change };
  eligible: number | null;
  turnout_before: number | null;
  turnout: number | null;
  findings: Finding[];
  rules: FiredRule[];
  areas: HoldAreas;
};

export type Report = { unit: string; revision: number };

export type PreviewedReport = { report: Report; chosen: boolean; place: string; comparison: Comparison };

export type Preview = { reports: PreviewedReport[]; notes: FileMessage[]; empty_units: number };

export type Outcome = {
  unit: string | null;
  revision: number | null;
  outcome: "accepted" | "duplicate" | "refused" | "retry";
  state?: ReceiptState;
  sequence?: number | null;
  digest?: string;
  accepted_at?: string;
  published_at?: string | null;
  warnings?: string[];
  code?: string;
  retry_after_s?: number;
  current_revision?: number;
  violations?: { code: string; path: string; detail: string }[];
};

// biome-ignore lint/suspicious/noExplicitAny: its members depend on the code
export type Evidence = { [member: string]: any };

export type FiredRule = { code: string; do: string; evidence: Evidence };

export type HoldSender = { token: number; note: string };

/** The figures of one category of a report. */
export type HeldCounts = {
  ballots: number;
  blank: number;
  rejected: number;
  voters?: number;
  votes: { [party: string]: number };
};

export type HeldReport = {
  unit: string;
  revision: number;
  counted_at: string;
  status: string;
  reason?: string;
  counts: { [category: string]: HeldCounts };
};

/** A held report; the last members are those of a hold that ended. */
export type Hold = {
  unit: string;
  municipality: string;
  revision: number;
  state: "open" | "released" | "rejected" | "superseded";
  digest: string;
  accepted_at: string;
  since: string;
  ballots: number;
  rules: FiredRule[];
  /** Null where it is not known. */
  now: string[] | null;
  report: HeldReport;
  stands: HeldReport | null;
  sender: HoldSender;
  ended_at?: string;
  decided_by?: HoldSender;
  reason?: string;
  note?: string;
  sequence?: number;
};

export type HoldArea = { name: string; names?: Names; municipality?: string };

export type HoldAreas = { [id: string]: HoldArea };

/** `/holds`: the holds of the token's units, the oldest first. */
export type HoldList = {
  election: string;
  server_time: string;
  open: number;
  most_open: number;
  embargo: { hidden_until: string | null };
  closed: boolean;
  omitted: number;
  areas: HoldAreas;
  holds: Hold[];
};

export type Decide = "release" | "reject";

export type Decided = {
  unit: string;
  revision: number;
  state: Hold["state"];
  sequence: number | null;
  decided_at: string;
};

/** Why a named report was not decided. */
export type DecisionConflict = {
  unit: string;
  revision: number;
  code: string;
  state?: string;
  newest_revision?: number;
  decided_at?: string;
  reason?: string;
};

export type Setting = { do: string; [threshold: string]: unknown };

/** `/rules`: the rules as they are applied now, and `most_open`. */
export type PolicyDocument = {
  election: string;
  rules: { [code: string]: Setting | number };
  origin: "registry" | "operator";
  changed_at: string | null;
  changed_by: HoldSender | null;
};
