/** What the pages read from the feed door; `openapi.yaml` describes the documents in full. Times are RFC 3339. */

export type Counts = {
  ballots: number;
  blank: number;
  rejected: number;
  /** Only if some unit reported it. */
  voters?: number;
  votes: { [party: string]: number };
};

/** An area as the feed sends it. Units have `revision` and `status`; areas above units have `corrections`. */
export type Area = {
  area: string;
  parent: string | null;
  level: string;
  name: string;
  sequence: number;
  published_at: string | null;
  eligible: number | null;
  units: { total: number; reported: number; by_status?: { [status: string]: number } };
  counts: { [category: string]: Counts };
  corrections?: number;
  last_correction?: LastCorrection | null;
  revision?: number | null;
  status?: string | null;
  correction?: Correction | null;
  /** Absent in elections without a previous one; null without votes now or then. */
  change?: Change | null;
  /** Of the root and of districts, in elections with `apportionment`. */
  seats?: Seats;
};

/** The change since the previous election, in percentage points. */
export type Change = {
  /** What it is compared with: the same units as those counted, or the whole of the area. */
  basis: "same_units" | "whole";
  /** By party; null for one that did not stand then. */
  shares: { [party: string]: number | null };
  turnout: number | null;
};

export type AreaAndChildren = Area & { record: { sequence: number }; children: Area[] };

/** How far a party is from a threshold: `lacks` votes if it is below, otherwise it has `spare` votes. */
export type ThresholdMargin = { above: boolean; lacks?: number; spare?: number };

/** Seats as they follow from the votes published so far; an authority determines them. */
export type Seats = {
  projection: true;
  /** Of a district: its own seats. Of the root: those of the whole house. Without votes, there are none. */
  by_party: { [party: string]: number | { seats: number; levelling: number } };
  /** Of a district, which the root may be: its seats without levelling seats. */
  ordinary?: number;
  /** The party with the last ordinary seat, and the most votes that it can lose before it loses the seat. */
  last?: { party: string; spare: number } | null;
  /** The party that would have that seat otherwise, and the votes with which it wins it. */
  next?: { party: string; lacks: number } | null;
  /** Parties between which a lot decides. */
  tied?: string[];
  /** Of each party between half and twice the threshold. */
  threshold?: { [party: string]: ThresholdMargin };
  /** Of the root: in the order in which they are given; null until every district has votes. */
  levelling?: { district: string; party: string }[] | null;
};

/** The seats of all districts: `…/seats`. */
export type SeatTable = {
  record: { sequence: number };
  districts: {
    area: string;
    ordinary: number;
    last: { party: string; spare: number } | null;
    next: { party: string; lacks: number } | null;
    tied: string[];
    parties: { party: string; seats: number }[];
  }[];
};

/** What a correction looks like from the record itself. */
export type Explanation = { code: string; unit?: string };

export type Correction = {
  sequence: number;
  at: string;
  reason: string | null;
  explained: Explanation | null;
  previous: { [category: string]: { ballots: number } };
};

export type LastCorrection = {
  sequence: number;
  unit: string;
  reason: string | null;
  explained: Explanation | null;
  ballots: number;
};

export type CorrectionGroup = {
  group: number;
  size: number;
  municipalities: number;
  ballots: number;
  first_at: string;
  last_at: string;
};

/** A report after which figures were lower than those that were public. */
export type PublicCorrection = {
  group: number | null;
  size: number;
  at: string;
  municipality: string;
  unit: string;
  before: number;
  after: number;
  ballots: number;
  public_s: number;
  reason: string | null;
  explained: Explanation | null;
  sequence: number;
};

/** All corrections at and below an area, the largest first. */
export type Corrections = {
  area: string;
  sequence: number;
  total: number;
  before_release: number;
  groups: CorrectionGroup[];
  corrections: PublicCorrection[];
};

/** The event that ends each group of areas. */
export type Block = {
  sequence: number;
  published_at: string | null;
  snapshot: boolean;
  /** The chain at `sequence`, in hex. */
  chain?: string;
  /** "" of a mirror, which has no time that has just passed. */
  server_time: string;
  /** The number of lines of the list of holds; absent if there are none. */
  holds?: number;
};

/** A line of the list of holds. */
export type HoldLine = { number: number; unit: string; state: string };

/** Names by language tag (BCP 47). */
export type Names = { [tag: string]: string };

export type Party = { code: string; name: string; names?: Names };

/** How seats are allocated. */
export type Apportionment = {
  /** The level of the districts. */
  districts: string;
  threshold?: { percent: number | string; of: "country" | "district" };
  levelling?: { per_district: number };
};

/** Parties that are added up. */
export type Bloc = { name: string; names?: Names; parties: string[] };

export type RegistryDocument = {
  election: {
    id: string;
    timezone: string;
    categories: (string | { id: string; nist?: string })[];
    apportionment?: Apportionment;
    blocs?: Bloc[];
  };
  areas: {
    id: string;
    parent: string | null;
    level: string;
    name: string;
    names?: Names;
    parties?: string[];
    eligible?: number | null;
    /** Of districts, levelling seats included. */
    seats?: number;
  }[];
  parties: Party[];
};

/** The election with which another is compared. */
export type PreviousElection = { id: string; name: string; names?: Names; date: string };

/** `…/previous`. */
export type PreviousDocument = {
  election: PreviousElection;
  areas: {
    [area: string]: {
      votes: { [party: string]: number };
      other?: number;
      blank?: number;
      ballots?: number;
      eligible?: number;
    };
  };
};

export type Election = {
  id: string;
  name: string;
  names?: Names;
  date: string | null;
  rehearsal: boolean;
  publish_from: string;
  released_at: string | null;
  closed_at?: string | null;
  /** How many reports are public. */
  sequence?: number;
  previous?: PreviousElection;
  /** Absent from older gateways; null if the record is not signed. */
  log?: Log | null;
};

/** The log of an election: its keys and those of the configured witnesses, as lines. */
export type Log = { origin: string; vkeys: string[]; history: number; witnesses: string[] };

/** A line of `…/log/checkpoints`. */
export type StoredCheckpoint = { size: number; root: string; signed_at: string; note: string };

export type ElectionAndRegistry = Election & { registry: RegistryDocument };

export type Publication = {
  sequence: number;
  published_at: string;
  /** SHA-256 of the report, and the chain after it, in hex. */
  digest: string;
  chain: string;
  report: {
    unit: string;
    revision: number;
    status: string;
    reason?: string;
    counts: { [category: string]: Counts };
  };
};

type Lag = { p50: number | null; p99: number | null };

/** Where the counts of a municipality are. */
export type Transfer = {
  municipality: string;
  name: string;
  units: number;
  reported: number;
  accepted: number;
  published: number;
  embargoed: number;
  /** Units with a held report; absent from older gateways. */
  held?: number;
  oldest_held_s?: number | null;
  oldest_unpublished_s: number | null;
  last_accepted_at: string | null;
  last_contact_at: string | null;
  lag_s: { applied: Lag; written: Lag } | null;
};

export type Transfers = {
  server_time: string;
  transfers: Transfer[];
  /** A report whose `oldest_unpublished_s` is above this is late. */
  late_after_s: number;
  /** The end of the embargo while all figures are hidden, so that they are zeros; null from the release on. */
  hidden_until: string | null;
};

/** Refusals of one code. */
export type Refusals = { code: string; count: number; last_at: string; token: number | null };

export type BoardToken = {
  token: number;
  areas: string[];
  note: string;
  expires_at: string | null;
  last_contact_at: string | null;
};

/** A municipality on the board. */
export type BoardMunicipality = {
  municipality: string;
  name: string;
  names?: Names;
  units: number;
  reported: number;
  accepted: number;
  last_accepted_at: string | null;
  last_contact_at: string | null;
  last_heard_at: string | null;
  /** Whether it has a valid token and units without a report, and the election is open. */
  expected: boolean;
  tokens: BoardToken[];
  tokens_total: number;
  refusals: Refusals[];
  refused: number;
};

/** `/board` of the push door. */
export type Board = {
  election: string;
  name: string;
  names?: Names;
  rehearsal: boolean;
  read_at: string;
  /** With the offset of the election's time zone. */
  publish_from: string;
  timezone: string | null;
  released_at: string | null;
  closed_at: string | null;
  accepted: number;
  unpublished: { reports: number; oldest_accepted_at: string | null };
  waiting: { reports: number; oldest_s: number | null };
  silent_after_s: number;
  shared_tokens: BoardToken[];
  refusals: Refusals[];
  municipalities: BoardMunicipality[];
};

export type Position = [number, number];
export type Ring = Position[];
export type Polygon = Ring[];

/** `/map.geojson`: shapes, each with the identifiers that its area may have. */
export type MapDocument = {
  features: {
    properties: { ids: string[] };
    geometry: { type: "Polygon"; coordinates: Polygon } | { type: "MultiPolygon"; coordinates: Polygon[] };
  }[];
};

/** The parts of OpenAPI 3.2 that the API page shows. */
export type OpenApi = {
  info: { title: string; version: string; summary: string; description: string };
  tags: { name: string; summary: string }[];
  servers: Server[];
  security: Security[];
  paths: { [path: string]: PathItem };
  components: { schemas: { [name: string]: Schema } };
};

export type Server = { url: string; name: string; description: string };
export type Security = { [scheme: string]: string[] };
export type Reference = { $ref: string };

export type PathItem = {
  get?: Operation;
  post?: Operation;
  put?: Operation;
  patch?: Operation;
  delete?: Operation;
  head?: Operation;
  servers?: Server[];
  parameters?: (Parameter | Reference)[];
};

export type Operation = {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  servers?: Server[];
  security?: Security[];
  parameters?: (Parameter | Reference)[];
  requestBody?: RequestBody | Reference;
  responses: { [status: string]: Response | Reference };
};

export type Parameter = {
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema: Schema | Reference;
  example?: unknown;
};

export type RequestBody = { content: Content };
export type Response = {
  description?: string;
  headers?: { [name: string]: { description?: string } | Reference };
  content?: Content;
};
export type Content = { [type: string]: Media };
export type Media = {
  schema?: Schema | Reference;
  itemSchema?: Schema | Reference;
  example?: unknown;
  examples?: { [name: string]: Example | Reference };
};
export type Example = { summary?: string; value?: unknown; serializedValue?: unknown };

export type Schema = {
  description?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  default?: unknown;
  properties?: { [name: string]: Schema | Reference };
  required?: string[];
  items?: Schema | Reference;
  allOf?: (Schema | Reference)[];
  anyOf?: (Schema | Reference)[];
  oneOf?: (Schema | Reference)[];
};

/** `live.json` of a mirror: the state that it shows, and the names of its newest files. */
export type Live = {
  format: string;
  election: string;
  history: string;
  sequence: number;
  chain: string;
  cursor: string;
  published_at: string | null;
  written_at: string;
  every_s: number;
  recent: string[];
  documents: number;
  ranges: number;
  holds: number;
  profiles: { [name: string]: LiveProfile };
  closed_at?: string | null;
};

/** Sequences that name the files of a profile: `at_SNAPSHOT`, and `SINCE_TO` for deltas. */
export type LiveProfile = { at: number; snapshot: number; since?: number[]; steps?: number[] };
