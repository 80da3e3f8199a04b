# Writes presets.inc: each presets/NAME.txt as VG_PRESET(NAME as an identifier, "NAME", its bytes).
#   cmake -DOUT=... -DFILES=a.txt,b.txt -P
string(REPLACE "," ";" files "${FILES}")
set(text "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  string(MAKE_C_IDENTIFIER ${name} identifier)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1, " bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND text "VG_PRESET(${identifier}, \"${name}\", ${bytes})\n")
endforeach()
file(WRITE ${OUT} "${text}")
