// Counts of a municipality: read from a spreadsheet, shown before they are sent, and sent until each has a receipt.

import { translate } from "./shell.js";

translate(() => {});
