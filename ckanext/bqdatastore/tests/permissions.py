"""Datasets and users to ask about, who asks, and what takes access away.

`CAUSES` is a table: each row makes a situation in which a user may do something, and a change after
which the user may not. `GRANTS` is the other way round.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import ckantoolkit as tk
import sqlalchemy as sa
from ckan import model
from ckan.tests import factories
from sqlalchemy import orm

READ, WRITE = "datastore_search", "datastore_upsert"


def run(action: str, **data: Any) -> Any:
    return tk.get_action(action)({"ignore_auth": True, "user": site_user()}, data)


def site_user() -> str:
    return str(tk.get_action("get_site_user")({"ignore_auth": True}, {})["name"])


def ask(user: str, action: str, resource_id: str) -> str:
    """`yes`, `no` or `gone`, as a request of its own would be told."""
    model.Session.remove()
    context: dict[str, Any] = {"user": user}
    try:
        tk.check_access(action, context, {"resource_id": resource_id})
    except tk.NotAuthorized:
        return "no"
    except tk.ObjectNotFound:
        return "gone"
    finally:
        model.Session.remove()
    return "yes"


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """What is sent to CKAN's database meanwhile."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(" ".join(statement.split()))

    sa.event.listen(model.meta.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(model.meta.engine, "before_cursor_execute", note)


def beyond_the_user(sent: list[str]) -> list[str]:
    """Statements that do not look a user up."""
    return [each for each in sent if ' FROM "user" ' not in each]


@dataclasses.dataclass(frozen=True)
class Situation:
    """Who asks for what, and other things the change is about.

    :param user: a name, empty for anonymous
    :param above: an organization that may come to stand above the dataset's
    """

    user: str
    resource: str
    dataset: str = ""
    organization: str = ""
    action: str = READ
    above: str = ""


def new_user() -> str:
    return str(factories.User()["name"])


def public(user: str = "") -> Situation:
    organization = factories.Organization()
    return _situation(user, organization["id"], private=False)


def private(role: str = "member", action: str = READ) -> Situation:
    """The dataset is private, and the user is one of its organization."""
    user = new_user()
    organization = factories.Organization(users=[{"name": user, "capacity": role}])
    return dataclasses.replace(_situation(user, organization["id"]), action=action)


def shared(capacity: str = "member", action: str = READ) -> Situation:
    """The dataset is private, and the user is a collaborator."""
    user = new_user()
    made = dataclasses.replace(_situation(user, factories.Organization()["id"]), action=action)
    run("package_collaborator_create", id=made.dataset, user_id=user, capacity=capacity)
    return made


def inherited() -> Situation:
    """The user is admin of an organization above that of the dataset."""
    user = new_user()
    above = factories.Organization(users=[{"name": user, "capacity": "admin"}])
    below = factories.Organization(groups=[{"name": above["name"]}])
    return _situation(user, below["id"])


def unowned() -> Situation:
    dataset = factories.Dataset(user=factories.Sysadmin(), owner_org=None)
    resource = factories.Resource(package_id=dataset["id"])
    return Situation(new_user(), resource["id"], dataset["id"], action=WRITE)


def sysadmin() -> Situation:
    user = factories.Sysadmin()["name"]
    return _situation(user, factories.Organization()["id"])


def _situation(user: str, organization: str, private: bool = True) -> Situation:
    dataset = factories.Dataset(owner_org=organization, private=private)
    resource = factories.Resource(package_id=dataset["id"])
    return Situation(user, resource["id"], dataset["id"], organization)


Change = Callable[[Situation], None]


def hide(here: Situation) -> None:
    run("package_patch", id=here.dataset, private=True)


def hide_in_bulk(here: Situation) -> None:
    run("bulk_update_private", datasets=[here.dataset], org_id=here.organization)


def hide_by_model(here: Situation) -> None:
    package = model.Package.get(here.dataset)
    assert package is not None
    package.private = True
    model.Session.commit()


def hide_in_another_session(here: Situation) -> None:
    with model.meta.create_local_session(bind=model.meta.engine) as session:
        session.get(model.Package, here.dataset).private = True
        session.commit()


def hide_by_query(here: Situation) -> None:
    model.Session.query(model.Package).filter_by(id=here.dataset).update({"private": True})
    model.Session.commit()


def hide_by_statement(here: Situation) -> None:
    table = model.package_table
    model.Session.execute(sa.update(table).where(table.c.id == here.dataset).values(private=True))
    model.Session.commit()


def hide_by_text(here: Situation) -> None:
    model.Session.execute(
        sa.text("UPDATE package SET private = true WHERE id = :id"), {"id": here.dataset}
    )
    model.Session.commit()


def _hiding(here: Situation) -> Any:
    table = model.package_table
    return sa.update(table).where(table.c.id == here.dataset).values(private=True)


def hide_by_mappings(here: Situation) -> None:
    model.Session.bulk_update_mappings(
        sa.inspect(model.Package), [{"id": here.dataset, "private": True}]
    )
    model.Session.commit()


def hide_by_objects_in_bulk(here: Situation) -> None:
    package = model.Package.get(here.dataset)
    assert package is not None
    package.private = True
    with model.Session.no_autoflush:
        model.Session.bulk_save_objects([package])
    model.Session.commit()


def hide_on_the_sessions_connection(here: Situation) -> None:
    model.Session.connection().execute(_hiding(here))
    model.Session.commit()


def hide_by_the_engine(here: Situation) -> None:
    with model.meta.engine.begin() as connection:
        connection.execute(_hiding(here))


def hide_by_the_engines_text(here: Situation) -> None:
    with model.meta.engine.begin() as connection:
        connection.execute(
            sa.text('SELECT 1; UPDATE public."package" SET private = true WHERE id = :id'),
            {"id": here.dataset},
        )


def hide_by_the_drivers_text(here: Situation) -> None:
    with model.meta.engine.begin() as connection:
        connection.exec_driver_sql(
            "update package set private = true where id = %(id)s", {"id": here.dataset}
        )


def hide_by_statement_with_columns(here: Situation) -> None:
    """Which looks like a SELECT to SQLAlchemy."""
    text = sa.text(f"UPDATE package SET private = true WHERE id = '{here.dataset}' RETURNING id")
    model.Session.execute(text.columns(sa.column("id")))
    model.Session.commit()


def hide_under_another_name(here: Situation) -> None:
    table = model.package_table.alias("p")
    statement = sa.update(table).where(table.c.id == here.dataset).values(private=True)
    model.Session.execute(statement)
    model.Session.commit()


def hide_within_a_select(here: Situation) -> None:
    hidden = _hiding(here).returning(model.package_table.c.id).cte("hidden")
    model.Session.execute(sa.select(hidden.c.id)).all()
    model.Session.commit()


def _commit_beside(rows: type, beside: Callable[[Any, Any, Any], None]) -> None:
    """Commit, with a listener that is told of each changed row."""
    sa.event.listen(rows, "before_update", beside)
    try:
        model.Session.commit()
    finally:
        sa.event.remove(rows, "before_update", beside)


def hide_while_another_row_is_written(here: Situation) -> None:
    """By a plugin that is told of rows, and writes to others beside the session."""

    def beside(mapper: Any, connection: Any, row: Any) -> None:
        connection.execute(_hiding(here))

    resource = model.Resource.get(here.resource)
    assert resource is not None
    resource.description = "Another text"
    _commit_beside(model.Resource, beside)


def hide_in_bulk_while_another_row_is_written(here: Situation) -> None:
    """By a plugin that is told of rows, and has a session of its own on their connection."""

    def beside(mapper: Any, connection: Any, row: Any) -> None:
        with orm.Session(bind=connection) as session:
            session.bulk_update_mappings(
                sa.inspect(model.Package), [{"id": here.dataset, "private": True}]
            )

    resource = model.Resource.get(here.resource)
    assert resource is not None
    resource.description = "Another text"
    _commit_beside(model.Resource, beside)


def hide_while_a_savepoint_is_rolled_back(here: Situation) -> None:
    """By a plugin that tries something beside the row, and gives it up."""

    def beside(mapper: Any, connection: Any, row: Any) -> None:
        connection.begin_nested().rollback()

    package = model.Package.get(here.dataset)
    assert package is not None
    package.private = True
    _commit_beside(model.Package, beside)


def hide_by_a_prepared_statement(here: Situation) -> None:
    """On the one connection of its engine, while nobody has kept anything since."""
    engine = sa.create_engine(tk.config["sqlalchemy.url"], pool_size=1, max_overflow=0)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "PREPARE hide (text) AS UPDATE package SET private = true WHERE id = $1"
        )
    ask_elsewhere(here)
    ask_elsewhere(here)
    with engine.begin() as connection:
        connection.execute(sa.text("EXECUTE hide (:id)"), {"id": here.dataset})
    engine.dispose()


def hide_by_a_procedure(here: Situation) -> None:
    name = f"hide_{here.dataset.replace('-', '_')}"
    with model.meta.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE PROCEDURE {name}() LANGUAGE SQL AS "
            f"$$ UPDATE package SET private = true WHERE id = '{here.dataset}' $$"
        )
    ask_elsewhere(here)
    ask_elsewhere(here)
    with model.meta.engine.begin() as connection:
        connection.exec_driver_sql(f"CALL {name}()")
        connection.exec_driver_sql(f"DROP PROCEDURE {name}")


def hide_in_a_session_within_a_transaction(here: Situation) -> None:
    """What the session calls a commit is none."""
    with model.meta.engine.connect() as connection, connection.begin():
        with orm.Session(bind=connection) as session:
            package = session.get(model.Package, here.dataset)
            assert package is not None
            package.private = True
            session.commit()
        ask_elsewhere(here)


def hide_after_a_flush_that_fails(here: Situation) -> None:
    """In bulk, after the savepoint around some rows was rolled back."""
    with contextlib.suppress(sa.exc.IntegrityError), model.Session.begin_nested():
        model.Session.add(model.Member(group_id="none such", table_id="x"))
        model.Session.flush()
    model.Session.bulk_update_mappings(
        sa.inspect(model.Package), [{"id": here.dataset, "private": True}]
    )
    model.Session.commit()


def hide_around_a_savepoint(here: Situation) -> None:
    package = model.Package.get(here.dataset)
    assert package is not None
    with model.Session.begin_nested():
        package.private = True
    ask_elsewhere(here)  # who asks now is told the old answer, and it must not stay
    model.Session.commit()


def ask_elsewhere(here: Situation) -> None:
    """As another request would, beside the session at work."""
    at_work = model.Session.registry()
    model.Session.registry.clear()
    try:
        assert ask(here.user, here.action, here.resource) == "yes"
    finally:
        model.Session.registry.set(at_work)


def delete_dataset(here: Situation) -> None:
    run("package_delete", id=here.dataset)


def purge_dataset(here: Situation) -> None:
    run("dataset_purge", id=here.dataset)


def move_dataset(here: Situation) -> None:
    run("package_patch", id=here.dataset, owner_org=factories.Organization()["id"])


def leave(here: Situation) -> None:
    run("organization_member_delete", id=here.organization, username=here.user)


def leave_by_member_delete(here: Situation) -> None:
    run("member_delete", id=here.organization, object=here.user, object_type="user")


def _membership(here: Situation) -> Any:
    user = model.User.get(here.user)
    assert user is not None
    return model.Session.query(model.Member).filter_by(
        table_id=user.id, group_id=here.organization, state="active"
    )


def leave_by_some_columns(here: Situation) -> None:
    """The session has read nothing of whose membership it is."""
    few = orm.load_only(model.Member.state)
    member = _membership(here).options(few).one()
    member.state = "deleted"
    model.Session.commit()


def leave_by_an_object_that_is_not_read(here: Situation) -> None:
    member = _membership(here).one()
    model.Session.commit()
    member.state = "deleted"
    model.Session.commit()


def leave_by_another_row_of_its_key(here: Situation) -> None:
    """Which SQLAlchemy writes over the one that is deleted."""
    member = _membership(here).one()
    stranger = model.User.get(new_user())
    assert stranger is not None
    other = model.Member(
        table_name="user", table_id=stranger.id, group_id=here.organization, capacity="member"
    )
    other.id = member.id
    model.Session.delete(member)
    model.Session.add(other)
    model.Session.commit()


def lower_role(here: Situation) -> None:
    run("organization_member_create", id=here.organization, username=here.user, role="member")


def delete_organization(here: Situation) -> None:
    """By its object alone: the action refuses while there are private datasets."""
    organization = model.Group.get(here.organization)
    assert organization is not None
    organization.delete()
    model.Session.commit()


def purge_organization(here: Situation) -> None:
    members = model.Session.query(model.Member).filter_by(group_id=here.organization)
    for each in [*members, model.Group.get(here.organization)]:
        model.Session.delete(each)
    model.Session.commit()


def part_organizations(here: Situation) -> None:
    run("organization_patch", id=here.organization, groups=[])


def stop_sharing(here: Situation) -> None:
    run("package_collaborator_delete", id=here.dataset, user_id=here.user)


def lower_capacity(here: Situation) -> None:
    run("package_collaborator_create", id=here.dataset, user_id=here.user, capacity="member")


def delete_user(here: Situation) -> None:
    run("user_delete", id=here.user)


def rename_user(here: Situation) -> None:
    user = model.User.get(here.user)
    assert user is not None
    user.name = f"{here.user}-no-more"
    model.Session.commit()


def demote(here: Situation) -> None:
    run("user_patch", id=here.user, sysadmin=False)


def move_resource(here: Situation) -> None:
    """To a dataset that only its organization sees."""
    elsewhere = factories.Dataset(owner_org=factories.Organization()["id"], private=True)
    resource = model.Resource.get(here.resource)
    assert resource is not None
    resource.package_id = elsewhere["id"]
    model.Session.commit()


def purge_resource(here: Situation) -> None:
    model.Session.delete(model.Resource.get(here.resource))
    model.Session.commit()


def forbid_sharing(here: Situation) -> None:
    tk.config["ckan.auth.allow_dataset_collaborators"] = False


def forbid_unowned(here: Situation) -> None:
    tk.config["ckan.auth.create_unowned_dataset"] = False


def forbid_inheriting(here: Situation) -> None:
    tk.config["ckan.auth.roles_that_cascade_to_sub_groups"] = []


# What opens


def hidden_from_stranger() -> Situation:
    return dataclasses.replace(private(), user=new_user())


def hidden_from_all() -> Situation:
    return dataclasses.replace(private(), user="")


def deleted() -> Situation:
    here = public(new_user())
    delete_dataset(here)
    return here


def below_nothing() -> Situation:
    """The user is admin of an organization that is above none."""
    user = new_user()
    above = factories.Organization(users=[{"name": user, "capacity": "admin"}])
    here = _situation(user, factories.Organization()["id"])
    return dataclasses.replace(here, above=above["name"])


def show(here: Situation) -> None:
    run("package_patch", id=here.dataset, private=False)


def show_in_bulk(here: Situation) -> None:
    run("bulk_update_public", datasets=[here.dataset], org_id=here.organization)


def restore_dataset(here: Situation) -> None:
    run("package_patch", id=here.dataset, state="active")


def move_to_users_organization(here: Situation) -> None:
    own = factories.Organization(users=[{"name": here.user, "capacity": "member"}])
    run("package_patch", id=here.dataset, owner_org=own["id"])


def join(here: Situation) -> None:
    run("organization_member_create", id=here.organization, username=here.user, role="member")


def raise_role(here: Situation) -> None:
    run("organization_member_create", id=here.organization, username=here.user, role="editor")


def join_organizations(here: Situation) -> None:
    run("organization_patch", id=here.organization, groups=[{"name": here.above}])


def share(here: Situation) -> None:
    run("package_collaborator_create", id=here.dataset, user_id=here.user, capacity="member")


def raise_capacity(here: Situation) -> None:
    run("package_collaborator_create", id=here.dataset, user_id=here.user, capacity="editor")


def promote(here: Situation) -> None:
    run("user_patch", id=here.user, sysadmin=True)


def move_resource_into_the_open(here: Situation) -> None:
    resource = model.Resource.get(here.resource)
    assert resource is not None
    resource.package_id = factories.Dataset(owner_org=here.organization)["id"]
    model.Session.commit()


GRANTS: dict[str, tuple[Callable[[], Situation], Change]] = {
    "dataset made public": (hidden_from_all, show),
    "dataset made public, user known": (hidden_from_stranger, show),
    "dataset made public in bulk": (hidden_from_stranger, show_in_bulk),
    "dataset restored": (deleted, restore_dataset),
    "dataset moved to the user's organization": (hidden_from_stranger, move_to_users_organization),
    "membership begun": (hidden_from_stranger, join),
    "role raised": (lambda: private("member", WRITE), raise_role),
    "organization put under another": (below_nothing, join_organizations),
    "collaboration begun": (hidden_from_stranger, share),
    "collaborator's capacity raised": (lambda: shared("member", WRITE), raise_capacity),
    "user made sysadmin": (hidden_from_stranger, promote),
    "resource moved to a public dataset": (hidden_from_stranger, move_resource_into_the_open),
}

CAUSES: dict[str, tuple[Callable[[], Situation], Change]] = {
    "dataset made private": (public, hide),
    "dataset made private, user known": (lambda: public(new_user()), hide),
    "dataset made private in bulk": (public, hide_in_bulk),
    "dataset made private by its object": (public, hide_by_model),
    "dataset made private in another session": (public, hide_in_another_session),
    "dataset made private by a query": (public, hide_by_query),
    "dataset made private by a statement": (public, hide_by_statement),
    "dataset made private by SQL text": (public, hide_by_text),
    "dataset made private by SQL text with columns": (public, hide_by_statement_with_columns),
    "dataset made private under another name": (public, hide_under_another_name),
    "dataset made private by mappings": (public, hide_by_mappings),
    "dataset made private by objects in bulk": (public, hide_by_objects_in_bulk),
    "dataset made private on the connection": (public, hide_on_the_sessions_connection),
    "dataset made private by the engine": (public, hide_by_the_engine),
    "dataset made private by the engine's text": (public, hide_by_the_engines_text),
    "dataset made private by the driver's text": (public, hide_by_the_drivers_text),
    "dataset made private within a SELECT": (public, hide_within_a_select),
    "dataset made private beside other rows": (public, hide_while_another_row_is_written),
    "dataset made private beside other rows in bulk": (
        public,
        hide_in_bulk_while_another_row_is_written,
    ),
    "dataset made private, a savepoint given up": (public, hide_while_a_savepoint_is_rolled_back),
    "dataset made private by a prepared statement": (public, hide_by_a_prepared_statement),
    "dataset made private by a procedure": (public, hide_by_a_procedure),
    "dataset made private in a joined session": (public, hide_in_a_session_within_a_transaction),
    "dataset made private after a flush failed": (public, hide_after_a_flush_that_fails),
    "dataset made private around a savepoint": (public, hide_around_a_savepoint),
    "dataset deleted": (public, delete_dataset),
    "dataset purged": (public, purge_dataset),
    "dataset moved to another organization": (private, move_dataset),
    "membership ended": (private, leave),
    "membership ended by member_delete": (private, leave_by_member_delete),
    "membership ended by some columns": (private, leave_by_some_columns),
    "membership ended without a look": (private, leave_by_an_object_that_is_not_read),
    "membership given to another": (private, leave_by_another_row_of_its_key),
    "role lowered": (lambda: private("editor", WRITE), lower_role),
    "organization deleted": (private, delete_organization),
    "organization purged": (private, purge_organization),
    "organization no longer under another": (inherited, part_organizations),
    "collaboration ended": (shared, stop_sharing),
    "collaborator's capacity lowered": (lambda: shared("editor", WRITE), lower_capacity),
    "user deleted": (private, delete_user),
    "user renamed": (private, rename_user),
    "user no longer sysadmin": (sysadmin, demote),
    "resource moved to another dataset": (public, move_resource),
    "resource purged": (public, purge_resource),
}

if sa.__version__.startswith("1."):  # CKAN 2.11's cannot send it
    del CAUSES["dataset made private under another name"]

# What is changed in one process only: each has its own settings.
SETTINGS: dict[str, tuple[Callable[[], Situation], Change]] = {
    "collaborators switched off": (shared, forbid_sharing),
    "unowned datasets switched off": (unowned, forbid_unowned),
    "roles no longer passed down": (inherited, forbid_inheriting),
}
