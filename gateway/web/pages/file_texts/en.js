// Mistakes in a file with counts, and notes on how it was read, in English: a sentence for each code of the gateway.

/** @import { FileTexts } from "../count_messages.js" */
/** @import { Figures } from "../texts.js" */

const EXAMPLES = "Write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00.";
const UTF_8 = "Save the file as UTF-8 (in a spreadsheet: CSV UTF-8).";
const TEXT_FORMAT = "A spreadsheet drops leading zeros; format the column as text, and enter them again.";
const REPLACES = "A count replaces the whole earlier one, with all its categories.";

/**
 * @param {Figures} figures
 * @returns {FileTexts}
 */
export const texts = ({ number, count, either, both, listed, sentence }) => {
  const figure = (/** @type {number | string} */ n) => (typeof n === "number" ? number(n) : n);
  const quoted = (/** @type {string[]} */ each) => listed(each.map((text) => `“${text}”`));
  const more = (/** @type {number} */ n) => (n ? ` and ${number(n)} more` : "");
  const meant = (/** @type {string[]} */ closest) =>
    closest.length ? ` Did you mean ${either(closest)}?` : "";
  const given = (/** @type {string | null} */ text) => (text === null ? "nothing" : `“${text}”`);
  return {
    line: (line) => `line ${line}`,
    lines: (first, last) => `lines ${first} to ${last}`,
    element: (line, element) => `line ${line}, element ${element}`,
    column: (letters, header) => `column ${letters}${header ? ` (${header})` : ""}`,

    messages: {
      file_too_large: ({ mib }) =>
        `The file is larger than ${number(mib)} MiB. Divide it into several files.`,
      files_too_large: ({ mib }) =>
        `The files are larger than ${number(mib)} MiB in all. Send them one after the other.`,
      other_program: ({ extension }) =>
        `Files of the type .${extension} cannot be read. Save the table as an Excel workbook (.xlsx) or as CSV UTF-8 (.csv).`,
      unknown_extension: ({ extension }) =>
        `“${extension}” is not a type of file that can be read. Use .csv, .xlsx, .json, .ndjson or .xml.`,
      workbook_named_csv: () => "The file is a workbook, not CSV. Give it the extension .xlsx.",
      no_report: () => "The file contains no count.",
      too_many_reports: ({ most }) =>
        `More than ${count(most, "count", "counts")}. Divide them into several files, and send one after the other.`,
      too_many_mistakes: ({ most }) =>
        `More than ${count(most, "mistake", "mistakes")}. The rest of the file was not checked.`,
      utf_32: () => `The text is UTF-32. ${UTF_8}`,
      utf_16: () => `The text is UTF-16. ${UTF_8}`,
      not_utf_8: () => `The text is not UTF-8. ${UTF_8}`,
      damaged_utf_16: () => `The text is damaged UTF-16. ${UTF_8}`,
      bad_json: () => "The content is not valid JSON.",
      bad_eml: ({ reason }) => `The content is not EML 510 as expected: ${reason}.`,
      eml_mistake: ({ reason }) => `The counts are wrong: ${reason}.`,
      eml_without_registry: () => "EML can be read only with the registry of the election.",
      nested_too_deeply: () => "The content is nested too deeply.",
      not_a_report: ({ kind }) => `This is ${kind}, not a count.`,
      element_not_a_report: ({ kind }) => `This is ${kind}, not a count.`,
      workbook_protected: () =>
        "The workbook is protected with a password, or of the old type (.xls). Save it as .xlsx, without a password.",
      not_a_workbook: () => "The file is not an Excel workbook (.xlsx).",
      bad_workbook: () =>
        "The workbook cannot be read: it is damaged, too large or made in an unknown way. Save it again in the " +
        "spreadsheet, or save the table as CSV UTF-8.",
      sheets_empty: () => "All sheets are empty.",
      several_tables: ({ sheets }) =>
        `The sheets ${quoted(sheets)} each have a table of counts. Save each of them as a file of its own.`,
      table_hidden: ({ sheet }) => `The table is in the sheet “${sheet}”, which is hidden. Unhide it.`,
      cells_merged: ({ cells }) => `The cells ${cells} are merged. Unmerge them, and fill in each of them.`,
      unknown_separator: () => "Columns are separated by commas, semicolons or tabs.",
      bad_csv: () => "The row cannot be divided into cells. Check the quotation marks.",
      too_many_rows: ({ most }) =>
        `More than ${count(most, "row", "rows")}. Divide the table into several files.`,
      figures_above_header: ({ head_line }) =>
        `There are figures above the headers of the table, which are in line ${head_line}. Move them below, or delete the line.`,
      misread_header: ({ shown, intended }) =>
        `The header “${shown}” should be “${intended}”: UTF-8 was read in another encoding. Open the original as UTF-8, ` +
        "and save it as CSV UTF-8.",
      ambiguous_column: ({ shown, meanings }) =>
        `The header “${shown}” could be ${either(meanings)}. Use one of these as the header.`,
      column_repeated: ({ shown }) => `The column “${shown}” appears twice.`,
      columns_alike: ({ shown, other, meaning }) =>
        `The columns “${shown}” and “${other}” both mean “${meaning}”.`,
      no_column: ({ missing, word, separator }) =>
        `The column “${missing}”${word ? ` (“${word}”)` : ""} is missing.${separator ? ` Columns are separated by ${separator}.` : ""}`,
      unnamed_column: ({ shown, head_line }) =>
        `“${shown}” is in a column without a header. Name the column in line ${head_line}, or empty the cell.`,
      beyond_columns: ({ shown, cells, columns, head_line }) =>
        `“${shown}” is in a column without a header: the row has ${count(cells, "cell", "cells")}, but the table only ` +
        `${count(columns, "column", "columns")}. Name the column in line ${head_line}, or empty the cell.`,
      head_repeated: () => "The line repeats the headers. Delete it.",
      second_head: () => "The line has other headers. Put the rows that follow it into a file of their own.",
      control_character: ({ character }) =>
        `The cell contains the character ${character}, which is not allowed.`,
      misread_cell: ({ shown, intended }) =>
        `“${shown}” should be “${intended}”: UTF-8 was read in another encoding. Open the original as UTF-8, and save it ` +
        "as CSV UTF-8.",
      unknown_column: ({ shown, header, closest }) =>
        `“${shown}” is in a column that is not read: “${header}” is neither a known column nor a party of this election.${meant(closest)}`,
      number_as_name: ({ shown }) => `The column is for names, not for the number “${shown}”.`,
      wrong_cell: ({ shown, why }) => `“${shown}” is ${why}.`,
      several_columns_in_cell: ({ shown, head_line }) =>
        `“${shown}” is several columns in one cell. Separate them as in line ${head_line}.`,
      misplaced_number: ({ shown }) =>
        `“${shown}” is a number in a column for other content, and the row has no figures. Move it to its column.`,
      total_differs: ({ total, first, last, sum }) =>
        `The total is ${figure(total)}, but lines ${first} to ${last} sum to ${figure(sum)}. Correct the figures, or delete the line.`,
      total_of_one_row: ({ total, first, sum }) =>
        `The total is ${figure(total)}, but line ${first} sums to ${figure(sum)}. Correct the figures, or delete the line.`,
      total_of_no_rows: ({ total, sum }) =>
        `The total is ${figure(total)}, but there are no rows to sum (${figure(sum)}). Correct the figure, or delete the line.`,
      no_unit: () => "The unit is missing.",
      no_category: () => "The category is missing.",
      lost_zeros: ({ shown, units }) =>
        `“${shown}” is not a unit of this election. Did you mean ${either(units)}? ${TEXT_FORMAT}`,
      no_figures: ({ status }) =>
        `The unit has the status “${status}”, but no figures. Enter them, or empty revision and reason to leave the unit out.`,
      category_repeated: ({ line }) =>
        `The category is entered twice for the unit; it is in line ${line} too.`,
      rows_differ: ({ shown, other, line }) =>
        `This line has “${shown}”, but line ${line} has “${other}” for the same unit.`,
      cell_not_a_time: ({ shown, why }) => `“${shown}” is not a valid time. ${sentence(why)}`,
      not_whole: ({ shown, why }) =>
        `“${shown}” is not a whole number. ${sentence(why ?? "enter a whole number")}`,
      out_of_range: ({ shown, least, most }) =>
        `“${shown}” is too large. Enter a number from ${number(least)} to ${number(most)}.`,
      counted_in_future: ({ time, now }) =>
        `The time of the count, ${time}, is in the future. The gateway's clock shows ${now}.`,
      counted_long_before: ({ time, date }) =>
        `The time of the count, ${time}, is more than a year before the election (${date}).`,
      too_many_versions: ({ count: n, most }) =>
        `The unit has ${count(n, "count", "counts")} in the file. At most ${number(most)} can be sent together.`,
      revision_unclear: ({ revisions }) =>
        `The count has no revision, but the unit also has the revisions ${both(revisions)}. Enter which one this is.`,
      members_differ: ({ member, here, there, other }) =>
        `The column “${member}” has ${given(here)} here, but ${given(there)} in ${other}. One unit with one time is one count.`,
      figures_differ: ({ other }) =>
        `The figures differ from those in ${other}. If one is a newer count, give it a later time.`,
      revision_missing: ({ time, other, other_time }) =>
        `One of the counts has a revision, the other has none (${time} here, ${other_time} in ${other}). Give all of them a revision, or none.`,
      revision_order: ({ time, revision, other, other_time, other_revision }) =>
        `The count of ${time} has revision ${revision}, but the earlier one of ${other_time} (${other}) has revision ` +
        `${other_revision}. A later count needs a higher revision.`,
      category_dropped: ({ time, other, other_time }) =>
        `The category is missing in the count of ${time}, but an earlier one of ${other_time} (${other}) has it. A count ` +
        "replaces all figures of the unit: enter all categories, with the same time if they are one count.",
      revision_in_outbox: ({ difference, revision }) =>
        `The count has ${both(difference)} than the one in the outbox under revision ${revision}. Give the correction a higher revision. ${REPLACES}`,
      count_in_outbox: ({ revision }) =>
        `The count was received as revision ${revision}, but the outbox has another count under that revision. Send that one first.`,
      revisions_used: () => "The unit has used all its revisions.",
      category_of_current_dropped: ({ revision, time, next }) =>
        `The category is missing, but the current count has it (revision ${revision}, counted ${time}). ${REPLACES} Enter ` +
        `all categories. To take one back, enter revision ${next} and a reason.`,
      current_is_later: ({ time, difference, revision, other_time, next }) =>
        `The count of ${time} has ${both(difference)} than the newest one (revision ${revision}), which was counted later: ` +
        `${other_time}. If this one is newer all the same, enter a later time, or revision ${next}. Otherwise leave the unit out.`,
      current_at_same_time: ({ time, difference, revision, other_time, next }) =>
        `The count of ${time} has ${both(difference)} than the newest one (revision ${revision}), which has the same time: ` +
        `${other_time}. If this one is newer, enter a later time, or revision ${next}. Otherwise leave the unit out.`,
      more_contradictions: ({ count: n }) =>
        `… and ${count(n, "more unit", "more units")} whose counts contradict.`,
      not_permitted: () => "This token may not report for this unit.",
      more_not_permitted: ({ count: n }) =>
        `… and ${count(n, "more unit", "more units")} that this token may not report for.`,
      current_unreadable: () =>
        "The current count of the unit cannot be read. Contact the election's operator.",

      read_as: ({ encoding }) => `The text was read as ${encoding}.`,
      sheet_read: ({ sheet, others }) => `The sheet “${sheet}” was read, and not ${quoted(others)}.`,
      hidden_rows: ({ rows, more: n }) => `Hidden rows were read too: ${rows.join(", ")}${more(n)}.`,
      hidden_columns: ({ columns, more: n }) =>
        `Hidden columns were read too: ${columns.join(", ")}${more(n)}.`,
      above_table: ({ texts: each }) => `Above the table, and not read: ${quoted(each)}.`,
      rows_left_out: ({ lines, more: n }) =>
        `Rows without figures are left out: line ${lines.join(", ")}${more(n)}.`,
      units_left_out: ({ units, more: n }) =>
        `Units without figures are left out: ${units.join(", ")}${more(n)}.`,
      no_units_left_out: ({ texts: each, more: n }) =>
        `Left out, since they are not units: ${each.join(", ")}${more(n)}.`,
      total_left_out: () => "A total that agrees with its rows. It is not sent.",
      totals_left_out: ({ lines, more: n }) =>
        `The totals in lines ${lines.join(", ")}${more(n)} agree with their rows. They are not sent.`,

      a_null: () => "null",
      a_boolean: () => "true or false",
      a_number: () => "a number",
      a_text: () => "a text",
      a_list: () => "a list",
      an_object: () => "an object",
      a_column: ({ meaning }) => `the column “${meaning}”`,
      a_party: ({ meaning }) => `the party “${meaning}”`,
      commas: () => "commas",
      semicolons: () => "semicolons",
      tabs: () => "tabs",
      huge_number: () => "a number with more than 15 digits",
      cell_error: () => "an error of the spreadsheet. Correct the formula",
      formula: () => "a formula without a stored value. Save the file in the spreadsheet, or enter the value",
      a_date: () => "a date. The spreadsheet changed what was entered",
      formatted: () => "The format of the cell shows another number. Enter it in a cell without a format.",
      two_readings: ({ joined, whole }) => `It can be read as ${joined} or as ${whole}. Enter one of these.`,
      not_whole_or_grouped: ({ joined, whole, decimals }) =>
        `It can be read as ${joined} or as the decimal number ${whole}.${decimals}.`,
      negative: () => "A count is not negative.",
      foreign_digit: ({ character }) => `It contains the digit ${character}. Use 0 to 9.`,
      contains: ({ character }) => `It contains “${character}”.`,
      contains_invisible: ({ character }) => `It contains the character ${character}.`,
      wrong_groups: () => "Its digits are not in groups of three.",
      no_offset: () => `The offset from UTC is missing. ${EXAMPLES}`,
      zone_unknown: ({ time }) =>
        `The time zone of the election is not known here. Write ${time} with its offset from UTC, such as +02:00.`,
      wrong_year: ({ year }) => `The year is ${year}. ${EXAMPLES}`,
      no_such_time: () => `There is no such date or time. ${EXAMPLES}`,
      day_or_month: () => `Day and month could be exchanged. ${EXAMPLES}`,
      short_year: () => `The year has two digits. ${EXAMPLES}`,
      no_time_of_day: () => `The time of day is missing. ${EXAMPLES}`,
      other_form: () => EXAMPLES,
      time_occurs_twice: ({ first, second }) =>
        `Clocks were set back, so this time occurs twice. Write ${first} or ${second}.`,
      time_skipped: ({ time, zone, later }) =>
        `Clocks were set forward, so there is no ${time} in ${zone}. Perhaps ${later} is meant?`,
      other_figures: () => "other figures",
      other_member: ({ member, here, there }) => `another “${member}” (${given(here)}, not ${given(there)})`,
      other_time: () => "another time",

      sum_mismatch: ({ ballots, votes, blank, sum }) =>
        `There are ${count(ballots, "ballot", "ballots")}, but ${count(votes, "vote", "votes")} for parties and ` +
        `${number(blank)} blank make ${number(sum)}. Correct what is wrong.`,
      missing_cell: () => "The cell is empty and has to be filled in.",
      unknown_category_cell: ({ shown, closest, known }) =>
        `“${shown}” is not a category of this election.${meant(closest)} The categories are ${listed(known)}.`,
      not_a_unit: ({ shown, closest, units, more: n }) =>
        `“${shown}” is an area with several units, each of which has its own figures: ${units.join(", ")}${more(n)}.${meant(closest)}`,
      unknown_unit: ({ shown, closest }) => `“${shown}” is not a unit of this election.${meant(closest)}`,
      unknown_status: ({ shown, closest, known }) =>
        `“${shown}” is not a known status.${meant(closest)} The statuses are ${listed(known)}.`,
      unknown_reason: ({ shown, closest, known }) =>
        `“${shown}” is not a known reason.${meant(closest)} The reasons are ${listed(known)}.`,
      unknown_category: ({ shown, closest, known }) =>
        `“${shown}” is not a category of this election.${meant(closest)} The categories are ${listed(known)}.`,
      unknown_party: ({ shown, closest }) => `“${shown}” is not a party of this election.${meant(closest)}`,
      party_not_on_ballot: () => "The party is not on the ballot of this unit.",
      not_a_count: ({ shown }) => `“${shown}” is not a whole number.`,
      count_out_of_range: ({ shown }) => `${shown} cannot be right: it is negative or far too large.`,
      revision_out_of_range: ({ shown }) => `${shown} cannot be a revision. Revisions start at 1.`,
      revision_above_ceiling: ({ shown }) =>
        `Revision ${shown} is above the ceiling of the unit. Contact the election's operator.`,
      not_a_time: ({ shown }) => `“${shown}” is not a valid time. ${EXAMPLES}`,
      time_without_offset: ({ shown }) => `“${shown}” lacks the offset from UTC, such as +02:00.`,
      missing_member: () => "The member is missing.",
      unknown_member: () => "The member is not known.",
      repeated_member: () => "The member appears twice.",
      wrong_type: () => "The value is of the wrong type.",
      null_value: () => "The value cannot be null. Omit the member.",
      forbidden_character: () => "The value contains a character that is not allowed.",
      more_violations: () => "This count has more mistakes.",
    },
  };
};
