"""Decisions are remembered, dropped with what they were made from, and always CKAN's own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import ckantoolkit as tk
import pytest
import redis
import sqlalchemy as sa
from ckan import authz, model
from flask_login import login_user

from ckanext.bqdatastore import config
from ckanext.bqdatastore.authorization import decisions as decisions_module
from ckanext.bqdatastore.authorization import store
from ckanext.bqdatastore.cache import Cache, MemoryStore
from ckanext.bqdatastore.logic import auth

from .caches import Clock, names_in
from .permissions import (
    CAUSES,
    GRANTS,
    READ,
    SETTINGS,
    Situation,
    ask,
    ask_elsewhere,
    beyond_the_user,
    hide,
    hide_by_mappings,
    hide_in_another_session,
    new_user,
    private,
    public,
    run,
    statements,
    sysadmin,
)

TTL = f"{config.PREFIX}authorization.cache_ttl"
REDIS = f"{config.PREFIX}redis_url"

pytestmark = [
    pytest.mark.usefixtures("with_plugins", "non_clean_db", "places"),
    pytest.mark.ckan_config("ckan.auth.allow_dataset_collaborators", True),
]


@pytest.fixture(params=["memory", "redis"])
def places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where decisions are kept."""
    url = os.environ["DEVSTACK_REDIS_URL"] if request.param == "redis" else ""
    monkeypatch.setitem(tk.config, REDIS, url)
    monkeypatch.setitem(tk.config, TTL, 3600.0)
    for name in (
        "ckan.auth.allow_dataset_collaborators",
        "ckan.auth.create_unowned_dataset",
        "ckan.auth.roles_that_cascade_to_sub_groups",
    ):
        monkeypatch.setitem(tk.config, name, tk.config.get(name))  # what a test sets ends with it
    return str(request.param)


def is_remembered(here: Situation) -> bool:
    """Whether an answer takes no more of the database than to look the user up."""
    with statements() as sent:
        ask(here.user, here.action, here.resource)
    return not beyond_the_user(sent)


def allowed(context: dict[str, Any], here: Situation) -> bool:
    """What this session is told now."""
    try:
        tk.check_access(here.action, context, {"resource_id": here.resource})
    except tk.NotAuthorized:
        return False
    return True


@pytest.mark.parametrize("cause", [*CAUSES, *SETTINGS])
def test_access_is_gone_at_the_next_request(cause: str) -> None:
    begin, change = {**CAUSES, **SETTINGS}[cause]
    here = begin()
    assert ask(here.user, here.action, here.resource) == "yes"
    assert is_remembered(here)
    change(here)
    assert ask(here.user, here.action, here.resource) != "yes"


@pytest.mark.parametrize("grant", GRANTS)
def test_access_is_given_at_the_next_request(grant: str) -> None:
    begin, change = GRANTS[grant]
    here = begin()
    assert ask(here.user, here.action, here.resource) != "yes"
    assert is_remembered(here)
    change(here)
    assert ask(here.user, here.action, here.resource) == "yes"


# What a decision may depend on beyond the key


@contextmanager
def replaced(name: str, function: Any) -> Iterator[None]:
    """Another auth function in the place of CKAN's, as a plugin puts it there."""
    functions = authz._AuthFunctions
    before = functions.get(name)
    assert before is not None
    functions._functions[name] = function
    try:
        yield
    finally:
        functions._functions[name] = before


@pytest.mark.parametrize("name", ["resource_show", "package_show"])
def test_another_plugins_auth_function_is_asked_each_time(name: str) -> None:
    here = public()
    assert ask(here.user, READ, here.resource) == "yes"
    answers = iter([False, True, False])
    original = authz._AuthFunctions.get(name)

    def moody(context: Any, data_dict: Any) -> Any:
        return {"success": next(answers)}

    moody.auth_allow_anonymous_access = True  # type: ignore[attr-defined]
    with replaced(name, moody):
        assert [ask(here.user, READ, here.resource) for _ in range(3)] == ["no", "yes", "no"]
    assert authz._AuthFunctions.get(name) is original
    assert ask(here.user, READ, here.resource) == "yes"


@pytest.mark.parametrize("name", ["datastore_search"])
def test_a_plugin_that_stands_between_is_asked_each_time(name: str) -> None:
    here = public()
    asked = []

    def between(context: Any, data_dict: Any) -> Any:
        asked.append(data_dict["resource_id"])
        return {"success": len(asked) % 2 == 0}

    chained = functools.partial(auth.datastore_search, between)
    chained.auth_allow_anonymous_access = True  # type: ignore[attr-defined]
    with replaced(name, chained):
        assert [ask(here.user, READ, here.resource) for _ in range(4)] == ["no", "yes"] * 2
    assert asked == [here.resource] * 4


@pytest.mark.ckan_config("ckan.plugins", "datastore bqdatastore example_ipermissionlabels")
def test_with_labels_of_another_plugin_nothing_is_remembered() -> None:
    here = public(new_user())
    for _ in range(2):
        assert ask(here.user, READ, here.resource) == "yes"
        assert not is_remembered(here)


def test_an_unusual_context_is_not_answered_from_memory() -> None:
    here = public()
    assert ask(here.user, READ, here.resource) == "yes"
    with statements() as sent:
        tk.check_access(READ, {"user": "", "package": None}, {"resource_id": here.resource})
    assert sent


def test_a_user_object_of_another_user_is_not_answered_from_memory() -> None:
    """Stock CKAN reads by the object's labels, whatever name stands beside it."""
    here = private()
    stranger = new_user()
    assert ask(here.user, READ, here.resource) == "yes"
    assert ask(stranger, READ, here.resource) == "no"
    for name, other, expected in ((stranger, here.user, True), (here.user, stranger, False)):
        for _ in range(2):
            model.Session.remove()
            context = {"user": name, "auth_user_obj": model.User.get(other)}
            assert allowed(context, here) is expected


def test_ignore_auth_is_allowed_and_not_remembered() -> None:
    here = private()
    stranger = new_user()
    assert allowed({"user": stranger, "ignore_auth": True}, here)
    assert ask(stranger, READ, here.resource) == "no"
    assert allowed({"user": stranger, "ignore_auth": True}, here)


def test_a_user_object_without_a_name_is_asked_for_its_labels_each_time() -> None:
    """A dump of a page that is served to a user passes the object alone."""
    here = private()
    for _ in range(2):
        model.Session.remove()
        assert allowed({"user": "", "auth_user_obj": model.User.get(here.user)}, here)
    assert ask("", READ, here.resource) == "no"


def test_a_name_that_stands_for_a_resource_is_not_remembered() -> None:
    here = public()
    name = f"resource-{uuid.uuid4()}"
    run("resource_patch", id=here.resource, name=name)
    for _ in range(2):
        assert ask("", READ, name) == "yes"
        assert not is_remembered(dataclasses.replace(here, resource=name))


def test_a_change_that_is_not_committed_is_seen_by_its_session_alone() -> None:
    here = public()
    assert ask("", READ, here.resource) == "yes"
    package = model.Package.get(here.dataset)
    assert package is not None
    package.private = True
    assert not allowed({"user": ""}, here)
    model.Session.flush()
    assert not allowed({"user": ""}, here)
    ask_elsewhere(here)
    model.Session.rollback()
    model.Session.remove()
    assert ask("", READ, here.resource) == "yes"
    assert ask("", READ, here.resource) == "yes"
    assert is_remembered(here)


def test_a_session_that_has_read_before_the_change_keeps_nothing() -> None:
    here = public()
    model.Session.remove()
    package = model.Package.get(here.dataset)  # as a page does before it asks
    assert package is not None
    hide_in_another_session(here)
    assert allowed({"user": ""}, here)  # as stock CKAN would: by the object in its hands
    assert ask("", READ, here.resource) == "no"


def test_a_connection_that_breaks_while_rows_are_written_is_as_in_stock() -> None:
    here = public()
    assert ask("", READ, here.resource) == "yes"
    package = model.Package.get(here.dataset)
    assert package is not None
    process = model.Session.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    with model.meta.engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:id)"), {"id": process})
    package.private = True
    with pytest.raises(sa.exc.OperationalError):
        model.Session.flush()
    model.Session.rollback()
    model.Session.remove()
    assert ask("", READ, here.resource) == "yes"
    hide_by_mappings(here)
    assert ask("", READ, here.resource) == "no"


def test_rows_that_are_written_together_are_told_together(
    places: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each telling is a message to Redis."""
    here = public()
    told: list[set[Any]] = []
    monkeypatch.setattr(store, "hold", lambda tags: told.append(set(tags)))
    ids = [str(uuid.uuid4()) for _ in range(20)]
    for id in ids:
        resource = model.Resource(url="http://example.com")
        resource.id, resource.package_id = id, here.dataset
        model.Session.add(resource)
    model.Session.commit()
    # As they are written, and as they are committed.
    assert told == [{store.resource_tag(id) for id in ids}] * 2


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_goes_on_seeing_what_was_before_keeps_nothing(level: str) -> None:
    here = public()
    model.Session.remove()
    model.Session.connection(execution_options={"isolation_level": level})
    model.Session.query(model.Package.id).first()  # from here on it sees no other's commits
    hide_in_another_session(here)
    assert allowed({"user": ""}, here)  # as stock CKAN would
    assert ask("", READ, here.resource) == "no"


def test_a_user_who_was_demoted_while_the_request_ran_keeps_nothing() -> None:
    here = sysadmin()
    model.Session.remove()
    user = model.User.get(here.user)  # the request knows its user
    assert user is not None
    with model.meta.create_local_session(bind=model.meta.engine) as elsewhere:
        elsewhere.get(model.User, user.id).sysadmin = False
        elsewhere.commit()
    context = {"user": user.name, "auth_user_obj": user}
    tk.get_action("datastore_authorize")(context, {"resource_id": here.resource})
    model.Session.remove()
    assert ask(here.user, READ, here.resource) == "no"


def test_a_user_who_was_demoted_while_a_page_holds_an_older_object_keeps_nothing(app: Any) -> None:
    """The request's `current_user` is who CKAN asks, whatever the session has read since."""
    here = sysadmin()
    with app.flask_app.test_request_context():
        user = model.User.get(here.user)
        assert user is not None
        login_user(user)
        model.Session.expunge_all()
        with model.meta.create_local_session(bind=model.meta.engine) as elsewhere:
            elsewhere.get(model.User, user.id).sysadmin = False
            elsewhere.commit()
        context = {"user": user.name, "auth_user_obj": model.User.get(user.id)}
        with contextlib.suppress(tk.NotAuthorized):  # CKAN's own answer to this request is yes
            tk.get_action("datastore_authorize")(context, {"resource_id": here.resource})
    assert ask(here.user, READ, here.resource) == "no"


def test_a_connection_that_stays_open_after_its_commit_lets_nothing_be_kept(places: str) -> None:
    here = public()
    assert ask("", READ, here.resource) == "yes"
    with model.meta.engine.connect() as connection:
        with connection.begin():
            connection.execute(
                sa.text("UPDATE package SET private = true WHERE id = :id"), {"id": here.dataset}
            )
            ask_elsewhere(here)
        assert ask("", READ, here.resource) == "no"
        connection.invalidate()
    assert ask("", READ, here.resource) == "no"
    assert is_remembered(here)


@contextmanager
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Clock, list[Cache]]]:
    """Memory with a clock of its own, and the caches that are told of changes."""
    clock = Clock()
    cache = Cache(MemoryStore(100_000, clock), clock)
    with monkeypatch.context() as replacing:
        replacing.setattr(decisions_module, "decisions", lambda: cache)
        told = [cache]
        replacing.setattr(store, "_all", lambda: told)
        yield clock, told


@pytest.mark.parametrize("kind", ["of the pool", "detached"])
def test_a_connection_that_changes_for_longer_than_a_hold_and_stays_open(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = public()
    with own_cache(monkeypatch) as (clock, _), model.meta.engine.connect() as connection:
        if kind == "detached":
            connection.detach()
        with connection.begin():
            connection.execute(
                sa.text("UPDATE package SET private = true WHERE id = :id"), {"id": here.dataset}
            )
            clock.now += 3000
            ask_elsewhere(here)
            assert is_remembered(here)
        assert ask("", READ, here.resource) == "no"
        connection.close()
        assert ask("", READ, here.resource) == "no"


def test_a_setting_that_is_lowered_counts_for_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = public()
    with own_cache(monkeypatch) as (clock, told):
        assert ask("", READ, here.resource) == "yes"
        told.clear()
        hide_by_mappings(here)
        monkeypatch.setitem(tk.config, TTL, 10.0)
        clock.now += 10
        assert ask("", READ, here.resource) == "no"


@pytest.mark.parametrize("permission", ["read", "create", "update", "delete", "patch"])
def test_ids_that_nobody_has_leave_nothing_behind(
    permission: str, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask for any number of them."""
    monkeypatch.setitem(tk.config, "ckan.site_id", f"site-{uuid.uuid4()}")
    for id in ("", "no such id", str(uuid.uuid4())):
        for name in ("resource_id", "package_id"):
            app.post(
                "/api/action/datastore_authorize",
                json={name: id, "permission": permission},
            )
    assert names_in(store.decisions()._store) == set()


@pytest.mark.parametrize("locked", ["store", "cache", "place"])
def test_a_forked_child_does_not_wait_for_what_a_thread_of_its_parent_held(locked: str) -> None:
    cache = store.decisions()
    lock = {
        "store": getattr(cache._store, "_lock", cache._lock),  # Redis's has none
        "cache": cache._lock,
        "place": store._lock,
    }[locked]
    with lock:
        child = os.fork()
        if not child:
            signal.alarm(20)
            store.decisions().drop([store.EVERYTHING])
            store.decisions().get(("a key",))
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert status == 0


def test_what_does_not_touch_permissions_drops_nothing() -> None:
    here, other = private(), public()
    assert ask(here.user, READ, here.resource) == "yes"
    run("package_patch", id=here.dataset, title="Another title")
    assert is_remembered(here)
    run("resource_patch", id=here.resource, description="Another text")
    assert is_remembered(here)
    run("user_patch", id=here.user, fullname="Another Name", email=f"{here.user}@example.com")
    assert is_remembered(here)
    run("organization_patch", id=here.organization, description="Another text")
    assert is_remembered(here)
    hide(other)
    assert is_remembered(here)


def test_a_grant_counts_at_the_next_request() -> None:
    here = private()
    stranger = new_user()
    for _ in range(2):
        assert ask(stranger, READ, here.resource) == "no"
    assert is_remembered(dataclasses.replace(here, user=stranger))
    run("organization_member_create", id=here.organization, username=stranger, role="member")
    assert ask(stranger, READ, here.resource) == "yes"


@pytest.mark.parametrize("ttl", [0.0])
def test_nothing_is_remembered_where_the_setting_says_so(
    ttl: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tk.config, TTL, ttl)
    here = public()
    for _ in range(2):
        assert ask("", READ, here.resource) == "yes"
        assert not is_remembered(here)


def test_the_answer_is_as_old_as_the_setting_says_at_most(
    places: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without word of a change: what goes past SQLAlchemy, or what another process does."""
    if places == "redis":
        return  # its own clock ends it: `test_cache.py`
    monkeypatch.setitem(tk.config, TTL, 10.0)
    clock = Clock()
    cache = Cache(MemoryStore(100_000, clock), clock)
    monkeypatch.setattr(decisions_module, "decisions", lambda: cache)
    here = public()
    assert ask("", READ, here.resource) == "yes"
    with model.meta.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE package SET private = true WHERE id = :id"), {"id": here.dataset}
        )
    clock.now += 9.9
    assert ask("", READ, here.resource) == "yes"
    clock.now += 0.1
    assert ask("", READ, here.resource) == "no"
    with model.meta.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE package SET private = false WHERE id = :id"), {"id": here.dataset}
        )
    clock.now += 9.9
    assert ask("", READ, here.resource) == "no"
    clock.now += 0.1
    assert ask("", READ, here.resource) == "yes"


def test_names_in_redis_are_this_sites_and_tell_nothing(
    places: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_id = f"site-{uuid.uuid4()}"
    monkeypatch.setitem(tk.config, "ckan.site_id", site_id)
    here = private()
    assert ask(here.user, READ, here.resource) == "yes"
    kept = redis.Redis.from_url(os.environ["DEVSTACK_REDIS_URL"])
    names = [str(name, "utf-8") for name in kept.scan_iter(f"*{site_id}*")]
    prefix = re.escape(f"ckan:{site_id}:bqdatastore:{version('ckanext-bqdatastore')}:permission:")
    assert bool(names) is (places == "redis")
    assert all(re.fullmatch(f"{prefix}[0-9a-f]{{40}}", name) for name in names)
