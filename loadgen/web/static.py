"""The stylesheet and the scripts, from this machine alone. Their URLs change with their text, so browsers keep them for ever."""

from fastapi import APIRouter, HTTPException, Request, Response

from loadgen.report.pages import assets

router = APIRouter(prefix="/static")


@router.get("/{name}")
def static(name: str, request: Request) -> Response:
    """One file; 304 for who has this text already."""
    try:
        asset = assets.vega() if name == assets.VEGA else assets.static(name)
    except KeyError:
        raise HTTPException(404) from None
    tag = f'"{asset.tag}"'
    headers = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.text, media_type=asset.media_type, headers=headers)
