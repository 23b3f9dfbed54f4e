"""PURE: the English sentences about files with counts, by code.

In braces are parameters of the message, and `unit`, `category`, `column`, `title` (the column or the path in JSON),
`about` (unit and category) and `head` (`about`, then `title`), which are its place. A sentence follows the place in the
file and a colon, unless it begins with a space or a comma. Formats such as `closest:meant` are those of `messages`.

The pages have the same codes and parameters in `web/pages/file_texts/`.
"""

from string import Formatter

MISTAKES = {
    # files
    "file_too_large": "larger than {mib} MiB; divide it into several files",
    "files_too_large": "more than {mib} MiB in all files; push them one after the other",
    "other_program": (
        ".{extension} is not read; save the table as an Excel workbook (.xlsx) or as CSV UTF-8 (.csv)"
    ),
    "unknown_extension": "unknown extension {extension!r}; use .csv, .xlsx, .json, .ndjson or .xml",
    "workbook_named_csv": "a workbook, not CSV; give it the extension .xlsx",
    "no_report": "contains no report",
    "too_many_reports": (
        "more than {most} reports; divide them into several files, and push one after the other"
    ),
    "too_many_mistakes": "more than {most} mistakes; the rest of the file was not checked",
    "utf_32": "not UTF-8 but UTF-32; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
    "utf_16": "not UTF-8 but UTF-16; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
    "not_utf_8": "not UTF-8; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
    "damaged_utf_16": "damaged UTF-16; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
    # JSON
    "bad_json": "{detail}",
    "nested_too_deeply": "nested too deeply",
    "not_a_report": "not a report but {kind}",
    "element_not_a_report": " is not a report but {kind}",
    # EML
    "bad_eml": "{reason}",
    "eml_mistake": "{head}: {reason}",
    "eml_without_registry": "EML cannot be read with --unchecked: it needs the registry of the election",
    # workbooks
    "workbook_protected": (
        "protected with a password, or an old workbook (.xls); save it as .xlsx, without a password"
    ),
    "not_a_workbook": "not an Excel workbook (.xlsx)",
    "bad_workbook": "{detail}",
    "sheets_empty": "all its sheets are empty",
    "several_tables": (
        "the sheets {sheets:quoted_and} each have a table of counts; save each of them as a file of its own"
    ),
    "table_hidden": "the table is in the hidden sheet {sheet!r}; unhide it",
    "cells_merged": "the cells {cells} are merged; unmerge them, and fill in each of them",
    # tables
    "unknown_separator": "columns are separated by commas, semicolons or tabs",
    "bad_csv": "{detail}",
    "too_many_rows": "more than {most} rows; divide it into several files",
    "figures_above_header": (
        "figures above the header of the table, which is in line {head_line}; move them below it, or delete the line"
    ),
    "misread_header": (
        "{shown!r} is {intended!r} in UTF-8 that was read in another encoding; open the original as UTF-8, and save it"
        " as CSV UTF-8"
    ),
    "ambiguous_column": "column {shown!r} could be {meanings:or}; use one of these as its name",
    "column_repeated": "column {shown!r} is repeated",
    "columns_alike": "columns {shown!r} and {other!r} both mean {meaning!r}",
    "no_column": "no column {missing!r}{word:alias}{separator:separated}",
    "unnamed_column": (
        "{shown!r} is in a column without a name; name the column in line {head_line}, or empty the cell"
    ),
    "beyond_columns": (
        "{shown!r} is in a column without a name ({cells} cells, but only {columns} columns); name the column in line"
        " {head_line}, or empty the cell"
    ),
    "head_repeated": "repeats the header; delete this line",
    "second_head": "is a second header, with other columns; put the rows that follow it into a file of their own",
    "control_character": "{title} contains the character {character}",
    "misread_cell": (
        "{title} {shown!r} is {intended!r} in UTF-8 that was read in another encoding; open the original as UTF-8, and"
        " save it as CSV UTF-8"
    ),
    "unknown_column": (
        "{shown!r} is in a column that is not read: {header!r} is neither a column of counts nor a party of this"
        " election{detail}{closest:meant}"
    ),
    "number_as_name": "{title} is a column for names, not for {shown!r}",
    "wrong_cell": "{title} {shown!r} is {why}",
    "several_columns_in_cell": (
        "{title} {shown!r} has several columns in one cell; separate them as in line {head_line}"
    ),
    "misplaced_number": "{title} {shown!r} is a number, and the row has no figures; move it to its column",
    "total_differs": (
        "the total of {title} is {total}, but lines {first} to {last} sum to {sum}; correct the figures, or delete the"
        " line"
    ),
    "total_of_one_row": (
        "the total of {title} is {total}, but line {first} sums to {sum}; correct the figures, or delete the line"
    ),
    "total_of_no_rows": (
        "the total of {title} is {total}, but there are no rows to sum ({sum}); correct the figures, or delete the line"
    ),
    # units of a table
    "no_unit": "no unit",
    "no_category": "no category",
    "lost_zeros": (
        '{title}: "{shown}" is not in the registry; did you mean {units:or}? A spreadsheet drops leading zeros; format'
        " the column as text and enter them again"
    ),
    "no_figures": (
        "{about} has the status {status!r} but no figures; enter figures, or empty revision and reason to leave the"
        " unit out"
    ),
    "category_repeated": "{category!r} of unit {unit} is repeated; it is in line {line} too",
    "rows_differ": "{title} {shown!r} of {about}, but {other!r} in line {line}",
    "cell_not_a_time": "{about}: {title} {shown!r} is not a time: {why}",
    "not_whole": "{title} must be a whole number, not {shown!r}{why:why}",
    "out_of_range": "{title}: expected {least} to {most}, not {shown}",
    # reports
    "counted_in_future": ("{about}: counted_at {time} is in the future; the gateway's clock shows {now}"),
    "counted_long_before": "{about}: counted_at {time} is more than a year before the election ({date})",
    "too_many_versions": "{about} has {count} reports in these files; at most {most} can be pushed together",
    "revision_unclear": (
        "{about} has no revision here, and revisions {revisions:and} elsewhere; state which one this is"
    ),
    "members_differ": (
        "{member} {here:given} of {about}, but {there:given} in {other}; one unit with one counted_at is one report"
    ),
    "figures_differ": (
        "other figures for {category!r} of unit {unit} than {other}; if one is a newer count, give it a later"
        " counted_at"
    ),
    "revision_missing": (
        "{about}, counted at {time}: one of its counts has a revision, and the other ({other}, counted at"
        " {other_time}) has none; give all of them revisions, or none"
    ),
    "revision_order": (
        "{about}, counted at {time}, has revision {revision}, but the earlier count ({other}, counted at {other_time})"
        " has revision {other_revision}; a later count needs a higher revision"
    ),
    "category_dropped": (
        "unit {unit}, counted at {time}, has no {category!r}, which an earlier count ({other}, counted at {other_time})"
        " has; a report replaces all figures of its unit: enter all categories, with the same counted_at if they are"
        " one count"
    ),
    "revision_in_outbox": (
        "{about} has {difference:and} than the report that was added to the outbox under revision {revision} before;"
        " give the correction a higher revision (a report replaces the whole earlier one, with all its categories)"
    ),
    "count_in_outbox": (
        "{about}: the gateway has this count as revision {revision}, but the outbox has another report under it; run"
        " the command without files first, or with another --outbox"
    ),
    "revisions_used": "{about} has used all its revisions",
    "category_of_current_dropped": (
        "unit {unit} has no {category!r}, but its current report (revision {revision}, counted at {time}) has; a report"
        " replaces the whole earlier one, with all its categories: enter all categories, or, to take one back, the"
        " revision {next} and a reason"
    ),
    "current_is_later": (
        "{about}, counted at {time}, has {difference:and} than the newest report (revision {revision}), which was"
        " counted later, at {other_time}; if this count is newer, enter a later counted_at, or the revision {next} (a"
        " report replaces the whole earlier one, with all its categories); else leave the unit out"
    ),
    "current_at_same_time": (
        "{about}, counted at {time}, has {difference:and} than the newest report (revision {revision}), which was"
        " also counted at {other_time}; if this count is newer, enter a later counted_at, or the revision {next} (a"
        " report replaces the whole earlier one, with all its categories); else leave the unit out"
    ),
    "more_contradictions": "… and {count:counted more unit} whose counts contradict",
    "not_permitted": "{about}: this token may not report for it",
    "more_not_permitted": "… and {count:counted more unit} that this token may not report for",
    "current_unreadable": "the current report of {about} cannot be read: {detail}",
}
NOTES = {
    "read_as": "read as {encoding}",
    "sheet_read": "sheet {sheet!r} is read, and not {others:quoted}",
    "hidden_rows": "hidden rows are read too: {rows}{more:more}",
    "hidden_columns": "hidden columns are read too: {columns}{more:more}",
    "above_table": "above the table, and not read: {texts:quoted}",
    "rows_left_out": "rows left out, since there are no figures: line {lines}{more:more}",
    "units_left_out": "left out, since there are no figures: {units}{more:more}",
    "no_units_left_out": "left out, since they are not units: {texts}{more:more}",
    "total_left_out": "a total, equal to the sum of its rows, and not sent",
    "totals_left_out": ", lines {lines}{more:more}: totals, equal to the sums of their rows, and not sent",
}
CLAUSES = {
    "a_null": "null",
    "a_boolean": "a boolean",
    "a_number": "a number",
    "a_text": "a text",
    "a_list": "a list",
    "an_object": "an object",
    "a_column": "the column {meaning!r}",
    "a_party": "the party {meaning!r}",
    "commas": "commas",
    "semicolons": "semicolons",
    "tabs": "tabs",
    "huge_number": "a number with more than 15 digits",
    "cell_error": "an error of the spreadsheet; correct its formula",
    "formula": "a formula without a stored value; save the file in the spreadsheet, or enter the value",
    "a_date": "a date; the spreadsheet changed what was entered",
    "formatted": "the format of its cell shows another number; enter it in a cell without a format",
    "two_readings": "it can be read as {joined} or as {whole}; enter one of these",
    "not_whole_or_grouped": "it can be read as {joined} or as {whole}.{decimals}, which is not whole",
    "negative": "a count is not negative",
    "foreign_digit": "it contains the digit {character}; use 0 to 9",
    "contains": "it contains {character!r}",
    "contains_invisible": "it contains {character}",
    "wrong_groups": "its digits are not in groups of three",
    "no_offset": "it has no offset from UTC; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00",
    "zone_unknown": (
        "the time zone of the election is not known here; write {time} with its offset, such as +02:00"
    ),
    "wrong_year": "its year is {year}; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00",
    "no_such_time": ("there is no such date or time; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00"),
    "day_or_month": (
        "its day and month could be exchanged; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00"
    ),
    "short_year": "its year has two digits; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00",
    "no_time_of_day": "it has no time of day; write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00",
    "other_form": "write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00",
    "time_occurs_twice": "clocks were set back, so this time occurs twice; write {first} or {second}",
    "time_skipped": ("clocks were set forward, so there is no {time} in {zone}; perhaps {later} is meant"),
    "other_figures": "other figures",
    "other_member": "another {member} ({here:stated}, not {there:stated})",
    "other_time": "another counted_at",
}
VIOLATION_TEXT = "{head}: {detail}{closest:meant}"
"""For a violation of the contract; `detail` is the text of `election.violations`."""
VIOLATIONS = {
    # what the columns and the cells of a table say better
    "sum_mismatch": (
        "{head}: {ballots}, but votes {votes} + blank {blank} = {sum}; correct one of them"
    ),
    "missing_cell": "{head} is missing",
    "unknown_category_cell": "{head} {shown!r} is not a category: {detail}{closest:meant}",
    "not_a_unit": "{head}: {detail}{closest:meant}{units:units}{more:more}",
    **dict.fromkeys(
        (
            "unknown_unit", "unknown_status", "unknown_reason", "unknown_category", "unknown_party",
            "party_not_on_ballot", "not_a_count", "count_out_of_range", "revision_out_of_range",
            "revision_above_ceiling", "not_a_time", "time_without_offset", "missing_member", "unknown_member",
            "repeated_member", "wrong_type", "null_value", "forbidden_character", "more_violations",
        ),
        VIOLATION_TEXT,
    ),
}  # fmt: skip
TEXTS = {**MISTAKES, **NOTES, **CLAUSES, **VIOLATIONS}
_OF_FEW_VALUES = ("unknown_status", "unknown_reason", "unknown_category")
"""Violations of values of which there are few; `known` are these."""
OF_PLACE = frozenset(("about", "head", "title", "unit", "category"))


def parameters_of(code: str) -> frozenset[str]:
    """Return the names of the parameters that messages with this code have, apart from English ones."""
    known = {"known"} if code.removesuffix("_cell") in _OF_FEW_VALUES else set()
    named = {name for _, name, _, _ in Formatter().parse(TEXTS[code]) if name is not None}
    shown = {"shown"} if "{detail}{closest" in TEXTS[code] and code in VIOLATIONS else set()
    return frozenset(named | shown | known) - OF_PLACE - {"detail"}
