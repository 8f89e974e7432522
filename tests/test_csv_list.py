"""A CSV names images, their labels and their split; what is wrong in it is refused with its line."""

import os
from pathlib import Path

import pytest

from ganhash_cli.engine import images
from ganhash_cli.errors import InputError, UsageError
from test_images import labels, paths, put


def listed(folder: Path, text: str | bytes) -> images.Collection:
    put(folder, "a.png", "b/c.png")
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return images.from_csv(folder / "list.csv")


def test_a_csv_gives_labels_by_name(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label\nb/c.png,dog\na.png,cat\n")
    assert labels(collection) == {b"a.png": ["cat"], b"b/c.png": ["dog"]}


def test_several_label_columns_make_it_multi_label(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,label\na.png,sea,sky\nb/c.png,sky,\n")
    assert labels(collection) == {b"a.png": ["sea", "sky"], b"b/c.png": ["sky"]}
    assert collection.multi_label


def test_one_label_each_is_not_multi_label(tmp_path: Path) -> None:
    assert not listed(tmp_path, "path,label\na.png,sea\nb/c.png,sky\n").multi_label


def test_a_csv_of_paths_alone_is_unlabelled(tmp_path: Path) -> None:
    assert not listed(tmp_path, "path\na.png\n").labelled


def test_a_split_column_is_kept(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,train\nb/c.png,cat,query\n")
    assert [entry.split for entry in collection.entries] == ["train", "query"]


def test_a_list_that_marks_queries_holds_them_and_what_they_search(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,test\nb/c.png,dog,{}\n"
    for split in ("", "train", "val", "database"):
        collection = listed(tmp_path, text.format(split))
        assert paths(images.query_part(collection)) == [b"a.png"]
        assert paths(images.database_part(collection)) == [b"b/c.png"]
        assert images.database_part(collection).class_names == ("dog",)
        assert images.database_part(collection).queries == {b"a.png"}
        assert images.query_part(collection).class_names == ("cat",)
    with pytest.raises(InputError, match="the list marks 2 images as test or query, and none to be searched"):
        images.database_part(listed(tmp_path, text.format("query")))


def test_a_database_whose_images_are_all_missing_is_not_said_to_be_unmarked(tmp_path: Path) -> None:
    part = images.database_part(listed(tmp_path, "path,label,split\na.png,cat,query\ngone.png,cat,database\n"))
    assert (part.entries, [bad.path for bad in part.skipped]) == ((), [b"gone.png"])


def test_a_missing_image_is_skipped_in_its_own_part_only(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,\nb/c.png,cat,query\ngone.png,cat,{}\n"
    for split, in_queries, in_database in (("query", 1, 0), ("", 0, 1)):
        collection = listed(tmp_path, text.format(split))
        assert len(images.query_part(collection).skipped) == in_queries
        assert len(images.database_part(collection).skipped) == in_database
        assert len(images.training_part(collection).skipped) == in_database


def test_where_all_queries_are_missing_the_database_does_not_take_their_place(tmp_path: Path) -> None:
    collection = images.query_part(listed(tmp_path, "path,label,split\na.png,cat,\ngone.png,cat,query\n"))
    assert (collection.entries, len(collection.skipped)) == ((), 1)


def test_a_list_that_marks_no_query_is_all_queries_or_all_database(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,\nb/c.png,cat,database\n")
    assert images.query_part(collection) == images.database_part(collection) == collection


def test_the_header_may_have_capitals_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    assert labels(listed(tmp_path, "\ufeffPath, Label\r\na.png,cat\r\n\r\n")) == {b"a.png": ["cat"]}


def test_quoted_names_may_hold_commas(tmp_path: Path) -> None:
    put(tmp_path, "x, y.png")
    assert paths(listed(tmp_path, 'path,label\n"x, y.png",cat\n')) == [b"x, y.png"]


def test_names_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    put(tmp_path, os.fsdecode(b"caf\xe9.png"))
    assert paths(listed(tmp_path, b"path\ncaf\xe9.png\n")) == [b"caf\xe9.png"]


def test_a_label_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 3") as raised:
        listed(tmp_path, b"path,label\na.png,cat\nb/c.png,caf\xe9\n")
    assert "UTF-8" in raised.value.hint


def test_a_file_that_a_csv_names_in_vain_is_skipped(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path\na.png\ngone.png\n")
    assert collection.skipped == (images.Skipped(b"gone.png", "missing"),)


@pytest.mark.parametrize("name", ["../a.png", "b/../../a.png", "/etc/passwd", ".."])
def test_a_path_out_of_the_folder_of_the_csv_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 3: .* lies outside"):
        listed(tmp_path, f"path\na.png\n{name}\n")


def test_a_name_that_only_begins_with_dots_is_inside(tmp_path: Path) -> None:
    put(tmp_path, "..a.png")
    assert paths(listed(tmp_path, "path\n..a.png\n")) == [b"..a.png"]


@pytest.mark.parametrize("header", ["", "label,path", "file,label", "path,label,colour", "a.png,cat"])
def test_another_header_is_refused_with_the_one_wanted(header: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        listed(tmp_path, f"{header}\na.png,cat\n")
    assert "path,label[,label…][,split]" in raised.value.hint


def test_a_line_with_too_many_fields_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2: 3 fields, but the header has 2"):
        listed(tmp_path, "path,label\na.png,cat,dog\n")


def test_a_field_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"list\.csv"):
        listed(tmp_path, "path\n" + "a" * 200_000)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a.png,cat\nb/c.png,"dog\na.png,cat\n', 3),
        ('a.png,"17 inch\nb/c.png,dog\nc.png,"19 inch\n', 2),
        ('a.png,"two\nlines"\nb/c.png,"dog\n', 4),
    ],
)
def test_a_quote_without_its_other_half_is_refused_with_its_line(tmp_path: Path, rows: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"list\.csv, line {line}: ") as raised:
        listed(tmp_path, "path,label\n" + rows)
    assert "quotes" in raised.value.hint


def test_quotes_inside_a_field_and_doubled_ones_belong_to_it(tmp_path: Path) -> None:
    collection = listed(tmp_path, 'path,label\na.png,17" screen\nb/c.png,"a ""dog"""\n')
    assert labels(collection) == {b"a.png": ['17" screen'], b"b/c.png": ['a "dog"']}


def test_a_list_that_may_not_be_read_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "list.csv").write_text("path\na.png\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"list\.csv: Permission denied"):
        images.from_csv(tmp_path / "list.csv")


def test_rows_of_one_image_unite_their_labels(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label\na.png,sky\nb/c.png,sky\n./a.png,sea\n")
    assert labels(collection) == {b"a.png": ["sea", "sky"], b"b/c.png": ["sky"]}


def test_two_splits_of_one_image_are_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 4 puts './a\.png' into the split 'query', line 2 into 'train'"):
        listed(tmp_path, "path,label,split\na.png,sky,train\nb/c.png,sky,\n./a.png,sea,query\n")


def test_blanks_around_labels_do_not_count(tmp_path: Path) -> None:
    assert listed(tmp_path, "path,label\na.png, cat\nb/c.png,cat \n").class_names == ("cat",)


def test_a_row_of_commas_alone_is_blank(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat,\n,,\n , ,\n")
    assert (paths(collection), collection.skipped) == ([b"a.png"], ())


def test_splits_may_have_capitals_and_blanks(tmp_path: Path) -> None:
    collection = listed(tmp_path, "path,label,split\na.png,cat, VAL\nb/c.png,cat,Train \n")
    assert [entry.split for entry in collection.entries] == ["val", "train"]


def test_an_unknown_split_is_refused_with_its_line_and_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 3: there is no split 'Tain'") as raised:
        listed(tmp_path, "path,label,split\na.png,cat,train\nb/c.png,cat,Tain\n")
    assert "train, val, test, query or database" in raised.value.hint


@pytest.mark.parametrize("link", [False, True])
def test_an_absolute_path_in_the_folder_of_the_csv_is_as_good_as_a_relative_one(tmp_path: Path, link: bool) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "here")
    place = put(tmp_path / "here", "a.png").with_name("link" if link else "here")
    (place / "list.csv").write_text(f"path\n{place}/a.png\n")
    assert paths(images.from_csv(place / "list.csv")) == [b"a.png"]


def test_a_path_outside_comes_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        listed(tmp_path, "path\n/etc/a.png\n")
    assert "folder of its images" in raised.value.hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_csv_in_utf_16_is_refused_with_what_to_save_it_as(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="UTF-16") as raised:
        listed(tmp_path, "path,label\na.png,cat\n".encode(encoding))
    assert raised.value.hint == "save it as UTF-8"
